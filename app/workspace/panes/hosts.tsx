'use client';

import type { ReactElement } from 'react';
import { Group, Panel, Separator, useDefaultLayout } from 'react-resizable-panels';
import type { HostName as Host } from '../../../server/protocol/hosts';
import { panelStorage } from '../../ui/preferences';
import { useSessionState } from '../session/context';

/** Both hosts, one above the other or side by side. */
export function Hosts({ pane }: { pane: (host: Host) => ReactElement }): ReactElement {
  const direction = useSessionState((state) => state.layout.hosts);
  const id = direction === 'stacked' ? 'lesson-rows' : 'lesson-hosts';
  const sizes = useDefaultLayout({ id, storage: panelStorage, onlySaveAfterUserInteractions: true });
  const beside = direction === 'beside';
  return (
    <Group key={id} id={id} orientation={beside ? 'horizontal' : 'vertical'} {...sizes}>
      <Panel id="source" minSize={beside ? '240px' : '110px'}>
        {pane('source')}
      </Panel>
      <Separator
        className="splitter"
        aria-label={`${beside ? 'Width' : 'Height'} of source and destination`}
      />
      <Panel id="destination" minSize={beside ? '240px' : '110px'}>
        {pane('destination')}
      </Panel>
    </Group>
  );
}
