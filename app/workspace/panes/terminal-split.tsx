'use client';

import type { ReactElement } from 'react';
import { Group, Panel, Separator, useDefaultLayout } from 'react-resizable-panels';
import type { HostName as Host } from '../../../server/protocol/hosts';
import type { TerminalInfo } from '../../../server/protocol/terminal';
import { panelStorage } from '../../ui/preferences';
import { useSessionState } from '../session/context';
import { layoutOf } from '../session/selectors';

/** Two terminals of a host, and the splitter between them. */
export function TerminalSplit(props: {
  host: Host;
  infos: readonly TerminalInfo[];
  slot: (info: TerminalInfo) => ReactElement;
}): ReactElement {
  const direction = useSessionState(layoutOf(props.host)).split;
  const id = `split-${props.host}-${direction}`;
  const sizes = useDefaultLayout({ id, storage: panelStorage, onlySaveAfterUserInteractions: true });
  const [first, second] = props.infos;
  if (first === undefined || second === undefined) return <></>;
  return (
    <Group
      key={id}
      id={id}
      className="split"
      orientation={direction === 'beside' ? 'horizontal' : 'vertical'}
      {...sizes}
    >
      <Panel id="first" minSize="80px">
        {props.slot(first)}
      </Panel>
      <Separator className="splitter" aria-label={`Size of ${first.name} and ${second.name}`} />
      <Panel id="second" minSize="80px">
        {props.slot(second)}
      </Panel>
    </Group>
  );
}
