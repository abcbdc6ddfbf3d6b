/**
 * Stands for `@xterm/xterm` in the server's types (`paths` in tsconfig.json). The addons name its types, and it brings the DOM's
 * globals with it; `@xterm/headless` has the same types without them.
 */
export type { ITerminalAddon, Terminal } from '@xterm/headless';
