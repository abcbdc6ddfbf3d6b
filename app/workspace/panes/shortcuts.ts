/**
 * The keyboard shortcuts of the lesson page, in one table for the handlers and for the list that the learner sees. They are those of
 * editors and terminal programs where these have one for the same action. No shell needs any of them.
 */

export type Shortcut =
  | 'next-pane'
  | 'previous-pane'
  | 'search'
  | 'copy'
  | 'previous-command'
  | 'next-command'
  | 'copy-output'
  | 'previous-terminal'
  | 'next-terminal'
  | 'new-terminal'
  | 'split'
  | 'zoom'
  | 'larger'
  | 'smaller'
  | 'usual-size';

interface Keys {
  /** Whether the key works in a terminal only; others work everywhere. */
  inTerminal: boolean;
  /** As it is written down. */
  keys: readonly string[];
  does: string;
  matches: (event: KeyboardEvent) => boolean;
}

/** The key of desktops and editors for the way from pane to pane, and the way out of a terminal. */
export const paneKey = 'F6';

const plain = (event: KeyboardEvent): boolean => !event.ctrlKey && !event.altKey && !event.metaKey;
const ctrl = (event: KeyboardEvent): boolean => event.ctrlKey && !event.altKey && !event.metaKey;
/** By its place on the keyboard, since Shift makes other characters of it. */
const ctrlShift =
  (code: string) =>
  (event: KeyboardEvent): boolean =>
    ctrl(event) && event.shiftKey && event.code === code;
/** By the character, wherever it is; the number block as well. */
const ctrlWith =
  (...keys: string[]) =>
  (event: KeyboardEvent): boolean =>
    ctrl(event) && keys.includes(event.key);

export const shortcuts: Readonly<Record<Shortcut, Keys>> = {
  'next-pane': {
    inTerminal: false,
    keys: [paneKey],
    does: 'Move the focus from the lesson to the source, the destination and back; this also leaves a terminal',
    matches: (event) => plain(event) && !event.shiftKey && event.key === paneKey,
  },
  'previous-pane': {
    inTerminal: false,
    keys: ['Shift', paneKey],
    does: 'Move the focus the other way',
    matches: (event) => plain(event) && event.shiftKey && event.key === paneKey,
  },
  search: {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', 'F'],
    does: 'Search in the terminal',
    matches: ctrlShift('KeyF'),
  },
  copy: {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', 'C'],
    does: 'Copy the selection',
    matches: ctrlShift('KeyC'),
  },
  'previous-command': {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', '↑'],
    does: 'Scroll to the previous command',
    matches: ctrlShift('ArrowUp'),
  },
  'next-command': {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', '↓'],
    does: 'Scroll to the next command',
    matches: ctrlShift('ArrowDown'),
  },
  'copy-output': {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', 'O'],
    does: 'Copy the output of that command, or of the last one',
    matches: ctrlShift('KeyO'),
  },
  'previous-terminal': {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', '←'],
    does: 'Go to the host’s previous terminal',
    matches: ctrlShift('ArrowLeft'),
  },
  'next-terminal': {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', '→'],
    does: 'Go to the host’s next terminal',
    matches: ctrlShift('ArrowRight'),
  },
  'new-terminal': {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', '`'],
    does: 'Open another terminal on this host',
    matches: ctrlShift('Backquote'),
  },
  split: {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', '5'],
    does: 'Show two terminals of this host side by side',
    matches: ctrlShift('Digit5'),
  },
  zoom: {
    inTerminal: true,
    keys: ['Ctrl', 'Shift', 'Enter'],
    does: 'Fill the page with this host, and back',
    matches: ctrlShift('Enter'),
  },
  larger: {
    inTerminal: true,
    keys: ['Ctrl', '+'],
    does: 'Enlarge the terminals’ text',
    matches: ctrlWith('+', '='),
  },
  smaller: {
    inTerminal: true,
    keys: ['Ctrl', '−'],
    does: 'Shrink the terminals’ text',
    matches: ctrlWith('-'),
  },
  'usual-size': {
    inTerminal: true,
    keys: ['Ctrl', '0'],
    does: 'Reset the text size',
    matches: ctrlWith('0'),
  },
};

export const shortcutNames = Object.keys(shortcuts) as Shortcut[];

/** The shortcut that a key press is, if any. */
export const shortcutOf = (event: KeyboardEvent): Shortcut | undefined =>
  shortcutNames.find((name) => shortcuts[name].matches(event));
