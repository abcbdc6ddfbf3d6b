import type { ReactElement } from 'react';
import type { Run } from '../../server/lessons/lesson';
import { HostName } from '../ui/host';
import './command-notes.css';

/** Tells a learner where a command runs and how it ends, if that is unusual. */
export function CommandNotes({ run }: { run: Run }): ReactElement | null {
  const { host, terminal, exit, background, interrupt } = run;
  const notes: ReactElement[] = [];
  if (terminal === 2) {
    notes.push(
      <>
        In a second terminal of <HostName host={host} />.
      </>,
    );
  }
  if (exit !== 0) notes.push(<>This command is meant to fail, with exit code {exit}.</>);
  if (background) notes.push(<>This command keeps running while you continue.</>);
  if (interrupt !== undefined) {
    notes.push(
      <>
        This command runs until you press <kbd>Ctrl</kbd>
        <kbd>C</kbd> in its terminal.{' '}
        {interrupt === true ? 'Do so when this step is done.' : `Wait at least ${interrupt} seconds first.`}
      </>,
    );
  }
  if (notes.length === 0) return null;
  return (
    <p className="command-notes">
      {notes.map((note, index) => (
        <span key={index}>{note} </span>
      ))}
    </p>
  );
}
