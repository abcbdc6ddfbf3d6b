/** Draws a mark beside each command of a terminal, coloured by its outcome. */
import type { IDecoration, Terminal } from '@xterm/xterm';
import type { TrackedCommand } from './command-track';
import { spellCommand } from './command-words';

/** Colours for the overview ruler; undefined until the page's theme is known. */
export interface MarkColours {
  usual: string | undefined;
  failed: string | undefined;
}

export class CommandMarks {
  readonly #terminal: Terminal;
  readonly #colours: () => MarkColours;
  readonly #onClick: (command: TrackedCommand, at: DOMRect) => void;
  readonly #decorations = new Map<TrackedCommand, IDecoration>();

  /** @param onClick gets the command and the position of its mark on the page */
  constructor(
    terminal: Terminal,
    colours: () => MarkColours,
    onClick: (command: TrackedCommand, at: DOMRect) => void,
  ) {
    this.#terminal = terminal;
    this.#colours = colours;
    this.#onClick = onClick;
  }

  /** Draws a command's mark, replacing an earlier one. */
  draw(command: TrackedCommand, isCurrent: boolean): void {
    this.remove(command);
    const { kind, words } = spellCommand(command.state);
    const { usual, failed } = this.#colours();
    const decoration = this.#terminal.registerDecoration({
      marker: command.prompt,
      overviewRulerOptions: { color: (kind === 'failed' ? failed : usual) ?? '', position: 'full' },
    });
    if (decoration === undefined) return;
    this.#decorations.set(command, decoration);
    decoration.onRender((element) => {
      if (element.dataset['mark'] === kind) return;
      element.dataset['mark'] = kind;
      element.dataset['current'] = String(isCurrent);
      element.classList.add('command-mark');
      element.title = `Command ${command.command}: ${words}`;
      element.addEventListener('click', () => {
        this.#onClick(command, element.getBoundingClientRect());
      });
    });
  }

  remove(command: TrackedCommand): void {
    this.#decorations.get(command)?.dispose();
    this.#decorations.delete(command);
  }
}
