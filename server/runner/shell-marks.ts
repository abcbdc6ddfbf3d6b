/**
 * Finds the shell integration marks (OSC 133, "semantic prompts") in a terminal's output, without changing it.
 * The hosts' bash prints them; guest root can forge them, so they trigger and decorate but prove nothing.
 */

export type ShellMark =
  /** The prompt is complete: the shell waits for a command. */
  | { kind: 'prompt' }
  /** A command's output begins. */
  | { kind: 'command-start' }
  /** A command has ended. */
  | { kind: 'command-end'; exitCode: number | null };

const escape = 0x1b;
const bell = 0x07;
const introducer = Buffer.from('\x1b]133;');
/** `D;` and an exit code fit; anything longer is no mark of ours. */
const maxPayloadBytes = 32;

export class ShellMarkScanner {
  private matched = 0;
  private payload: string | undefined;

  /** @returns the marks that end in this chunk, in order; a mark may be cut across chunks anywhere */
  scan(chunk: Uint8Array): ShellMark[] {
    const marks: ShellMark[] = [];
    for (const byte of chunk) {
      if (this.payload !== undefined) {
        if (byte === bell || byte === escape) {
          const mark = parsePayload(this.payload);
          if (mark) marks.push(mark);
          this.payload = undefined;
          this.matched = byte === escape ? 1 : 0;
        } else if (this.payload.length >= maxPayloadBytes) {
          this.payload = undefined;
        } else {
          this.payload += String.fromCharCode(byte);
        }
      } else if (byte === introducer[this.matched]) {
        this.matched += 1;
        if (this.matched === introducer.length) {
          this.payload = '';
          this.matched = 0;
        }
      } else {
        this.matched = byte === escape ? 1 : 0;
      }
    }
    return marks;
  }
}

function parsePayload(payload: string): ShellMark | undefined {
  const [kind, code] = payload.split(';');
  if (kind === 'B') return { kind: 'prompt' };
  if (kind === 'C') return { kind: 'command-start' };
  if (kind !== 'D') return undefined;
  return { kind: 'command-end', exitCode: code !== undefined && /^\d+$/.test(code) ? Number(code) : null };
}
