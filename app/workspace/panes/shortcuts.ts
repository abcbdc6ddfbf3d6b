/**
 * The keyboard shortcuts of the lesson page. The handlers and the list for learners share this table. The keys follow editors and
 * terminal programs, and no shell needs any of them.
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
  /** Whether the key works only in a terminal. */
  inTerminal: boolean;
  /** The keys as the list shows them. */
  keys: readonly string[];
  does: string;
  matches: (event: KeyboardEvent) => boolean;
}

/** Moves between panes, as in desktops and editors, and out of a terminal. */
export const paneKey = 'F6';

const plain = (event: KeyboardEvent): boolean => !event.ctrlKey && !event.altKey && !event.metaKey;
const ctrl = (event: KeyboardEvent): boolean => event.ctrlKey && !event.altKey && !event.metaKey;
/** Matches the key's position, because Shift changes its character. */
const ctrlShift =
  (code: string) =>
  (event: KeyboardEvent): boolean =>
    ctrl(event) && event.shiftKey && event.code === code;
/** Matches the character, wherever it is on the keyboard, the number pad included. */
const ctrlWith =
  (...keys: string[]) =>
  (event: KeyboardEvent): boolean =>
    ctrl(event) && keys.includes(event.key);

export const shortcuts: Readonly<Record<Shortcut, Keys>> = {
  'next-pane': {
    inTerminal: false,
    keys: [paneKey],
    does: 'Move the focus to the next pane: lesson, source, destination (this also leaves a terminal)',
    matches: (event) => plain(event) && !event.shiftKey && event.key === paneKey,
  },
  'previous-pane': {
    inTerminal: false,
    keys: ['Shift', paneKey],
    does: 'Move the focus to the previous pane',
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
    does: 'Copy the output of that command, or of the last command',
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
    does: 'Maximize this host, or show the whole page again',
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

/** The shortcut for a key press, if any. */
export const shortcutOf = (event: KeyboardEvent): Shortcut | undefined =>
  shortcutNames.find((name) => shortcuts[name].matches(event));
