'use client';

import type { ReactElement } from 'react';
import type { Busy } from '../../../server/protocol/terminal';
import { AskDialog, type Answer } from '../../ui/ask-dialog';
import { HostName } from '../../ui/host';
import { useLabSession, useSessionState } from '../session/context';
import type { BusyAnswer } from '../session/run-actions';
import { questionOf, terminalsOf } from '../session/selectors';

const answers: Record<Busy, readonly Answer<BusyAnswer | null>[]> = {
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
    heading: 'A program is running in this terminal',
    text: 'The command was not typed, because the program would have received it. Ctrl-C ends most programs; they lose what they have not saved.',
  },
  'full-screen': {
    heading: 'A full-screen program is running in this terminal',
    text: 'The command was not typed, because the program would have received it. Leave the program first: “q” leaves less and top, “:q” and Enter leave vim, “exit” leaves a shell in tmux.',
  },
  'half-typed': {
    heading: 'There is text at the prompt',
    text: 'The command was not typed, because the shell would have appended it to that text. If you replace the line, Ctrl-Y brings it back later.',
  },
};

/** Asks what to do with a command whose terminal is busy. Nothing is typed without an answer. */
export function BusyDialog(): ReactElement {
  const session = useLabSession();
  const question = useSessionState(questionOf);
  const terminal = useSessionState((state) =>
    terminalsOf(state).find(({ id }) => id === questionOf(state)?.terminal),
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
