'use client';

import type { ReactElement } from 'react';
import type { Busy } from '../../../server/protocol/terminal';
import { AskDialog, type Answer } from '../../ui/ask-dialog';
import { HostName } from '../../ui/host';
import { useLabSession, useSessionState } from '../session/context';

type How = 'interrupt' | 'cut-line' | 'new-terminal';

const answers: Record<Busy, readonly Answer<How | null>[]> = {
  program: [
    { label: 'Cancel', value: null },
    { label: 'Run in a new terminal', value: 'new-terminal' },
    { label: 'Press Ctrl-C and run', value: 'interrupt', kind: 'alarm' },
  ],
  'full-screen': [
    { label: 'Cancel', value: null },
    { label: 'Run in a new terminal', value: 'new-terminal' },
  ],
  'half-typed': [
    { label: 'Cancel', value: null },
    { label: 'Replace the line and run', value: 'cut-line', kind: 'alarm' },
  ],
};

const words: Record<Busy, { heading: string; text: string }> = {
  program: {
    heading: 'Something runs in this terminal.',
    text: 'The command was not typed, because the program would have got it. Ctrl-C ends most programs; what it has not written down is lost.',
  },
  'full-screen': {
    heading: 'A program has this terminal’s whole screen.',
    text: 'The command was not typed, because the program would have got it. Leave the program first: “q” leaves less and top, “:q” and Enter leave vim, “exit” a shell within tmux.',
  },
  'half-typed': {
    heading: 'There is something behind the prompt.',
    text: 'The command was not typed, because it would have been glued to the line that you have begun. Replacing that line cuts it; Ctrl-Y brings it back later.',
  },
};

/** A command could not be typed; what now? Nothing is ever typed without an answer. */
export function BusyDialog(): ReactElement {
  const session = useLabSession();
  const question = useSessionState((state) => state.question);
  const terminal = useSessionState((state) =>
    state.terminals.find(({ id }) => id === state.question?.terminal),
  );
  const busy = question?.busy ?? 'program';
  const text = session.lesson.steps.find(({ id }) => id === question?.stepId)?.runs[question?.block ?? 0]
    ?.text;
  return (
    <AskDialog
      open={question !== null}
      heading={words[busy].heading}
      answers={answers[busy]}
      onAnswer={(answer) => {
        session.answer(answer);
      }}
    >
      {terminal !== undefined && (
        <p>
          <HostName host={terminal.host} />, {terminal.name}
        </p>
      )}
      <p>{words[busy].text}</p>
      {text !== undefined && <pre className="paste-preview">{text}</pre>}
    </AskDialog>
  );
}
