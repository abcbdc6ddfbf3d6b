import type { ReactElement } from 'react';
import type { Run } from '../../server/lessons/lesson';
import { HostName } from '../ui/host';
import './command-notes.css';

/** What a learner must know about a command besides its text: where it runs, and how it ends. */
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
  if (exit !== 0) notes.push(<>It is meant to fail, with exit code {exit}.</>);
  if (background) notes.push(<>It goes on while you do what follows.</>);
  if (interrupt !== undefined) {
    notes.push(
      <>
        It goes on until you press <kbd>Ctrl</kbd>
        <kbd>C</kbd> in its terminal
        {interrupt === true ? ', when this step is done' : `, after ${interrupt} seconds or more`}.
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
