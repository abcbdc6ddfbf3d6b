/**
 * Scans a terminal's output for two things: the shell integration marks (OSC 133, "semantic prompts"), and whether the output so far
 * ends within an escape sequence or a character.
 *
 * It has the states of xterm.js's parser (the VT500 state machine of vt100.net, and the controls U+0080 to U+009F). Its test compares
 * both.
 */
import { isAscii } from 'node:buffer';

/** What the shell prints. Guest root can forge it, so it triggers and decorates but proves nothing. */
export type Mark =
  /** The prompt begins. */
  | { kind: 'prompt-start' }
  /** The prompt is complete: the shell waits for a command. */
  | { kind: 'prompt' }
  /** A command's output begins. */
  | { kind: 'start' }
  /** A command has ended. */
  | { kind: 'end'; exitCode: number | null };

export interface FoundMark {
  mark: Mark;
  /** Index in the chunk of the byte after it. */
  end: number;
}

const enum State {
  Ground,
  Escape,
  EscapeIntermediate,
  Csi,
  /** CSI after its first parameter byte: a further prefix byte makes the sequence ignored. */
  CsiParameters,
  CsiIntermediate,
  CsiIgnore,
  Osc,
  DcsEntry,
  DcsParameters,
  DcsIntermediate,
  DcsIgnore,
  DcsBody,
  /** SOS, PM and APC. */
  OtherString,
}

const bell = 0x07;
const cancel = 0x18;
const substitute = 0x1a;
const escape = 0x1b;
/** First byte in UTF-8 of U+0080 to U+00BF, the C1 controls among them. */
const c1Lead = 0xc2;
const markPrefix = '133;';
/** `133;D;` and an exit code fit. A longer string is no mark. */
const maxMarkBytes = 32;

export class SequenceScanner {
  #state = State.Ground;
  /** The OSC string so far, while it may be a mark. */
  #payload: string | undefined;
  /** Bytes of an unfinished character, and how many bytes it has in all. */
  #characterBytes = 0;
  #characterLength = 0;
  #hasC1Lead = false;
  /**
   * Bytes at the end of the scanned output that belong to an unfinished sequence or character. A reader that starts after them
   * misreads what follows.
   */
  unfinished = 0;

  /** While the output ends within a string (OSC, DCS and the like): a prefix that makes a terminal ignore the rest. Else empty. */
  get reopening(): string {
    switch (this.#state) {
      case State.Osc:
        return '\x1b]';
      case State.DcsEntry:
      case State.DcsParameters:
      case State.DcsIntermediate:
      case State.DcsIgnore:
      case State.DcsBody:
        return '\x1bP';
      case State.OtherString:
        return '\x1b_';
      default:
        return '';
    }
  }

  /** @returns the marks that end in this chunk, in order. Chunks may cut marks anywhere. */
  scan(chunk: Buffer): FoundMark[] {
    const found: FoundMark[] = [];
    const allAscii = isAscii(chunk);
    for (let index = 0; index < chunk.length; index++) {
      if (this.unfinished === 0) {
        index = nextOfInterest(chunk, index, allAscii);
        if (index === chunk.length) break;
      }
      const mark = this.#step(chunk[index] ?? 0);
      if (mark) found.push({ mark, end: index + 1 });
      const isWhole = this.#state === State.Ground && this.#characterLength === 0;
      this.unfinished = isWhole ? 0 : this.unfinished + 1;
    }
    return found;
  }

  #step(byte: number): Mark | undefined {
    if (this.#characterLength > 0) {
      if ((byte & 0xc0) !== 0x80) {
        // The character is invalid; this byte starts anew.
        this.#characterLength = 0;
      } else {
        this.#characterBytes += 1;
        if (this.#characterBytes < this.#characterLength) return undefined;
        this.#characterLength = 0;
        if (this.#hasC1Lead && byte < 0xa0) return this.#control(byte);
        this.#printUnicode();
        return undefined;
      }
    }
    if (byte < 0x80) return this.#control(byte);
    this.#characterLength = byte < 0xc0 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf8 ? 4 : 0;
    this.#characterBytes = 1;
    this.#hasC1Lead = byte === c1Lead;
    return undefined;
  }

  /** A character above U+009F. */
  #printUnicode(): void {
    switch (this.#state) {
      case State.Osc:
        this.#payload = undefined;
        break;
      case State.CsiIgnore:
      case State.DcsIgnore:
      case State.DcsBody:
        break;
      default:
        this.#state = State.Ground;
    }
  }

  /** A character up to U+009F. */
  #control(code: number): Mark | undefined {
    if (code >= 0x80) {
      const mark = code === 0x9c ? this.#endString() : undefined;
      this.#begin(c1States.get(code) ?? State.Ground);
      return mark;
    }
    if (code === escape) {
      const mark = this.#endString();
      this.#begin(State.Escape);
      return mark;
    }
    if (code === cancel || code === substitute) {
      this.#state = State.Ground;
      return undefined;
    }
    switch (this.#state) {
      case State.Ground:
        break;
      case State.Osc:
        if (code === bell) {
          const mark = this.#endString();
          this.#state = State.Ground;
          return mark;
        }
        if (code >= 0x20 && this.#payload !== undefined) {
          this.#payload += String.fromCharCode(code);
          if (this.#payload.length > maxMarkBytes) this.#payload = undefined;
        }
        break;
      case State.Escape:
        if (code >= 0x20 && code < 0x30) this.#state = State.EscapeIntermediate;
        else if (code >= 0x30 && code < 0x7f) this.#begin(escapeStates.get(code) ?? State.Ground);
        break;
      case State.EscapeIntermediate:
        if (code >= 0x30 && code < 0x7f) this.#state = State.Ground;
        break;
      case State.Csi:
      case State.CsiParameters:
      case State.CsiIntermediate:
      case State.CsiIgnore:
        if (code >= 0x40 && code < 0x7f) this.#state = State.Ground;
        else if (code >= 0x20 && code < 0x40) this.#state = csiAfter(this.#state, code);
        break;
      case State.DcsEntry:
      case State.DcsParameters:
      case State.DcsIntermediate:
        if (code >= 0x40 && code < 0x7f) this.#state = State.DcsBody;
        else if (code >= 0x20 && code < 0x40) this.#state = dcsAfter(this.#state, code);
        break;
      default:
        break;
    }
    return undefined;
  }

  #begin(state: State): void {
    this.#state = state;
    if (state === State.Osc) this.#payload = '';
  }

  #endString(): Mark | undefined {
    const payload = this.#state === State.Osc ? this.#payload : undefined;
    this.#payload = undefined;
    return payload?.startsWith(markPrefix) ? parseMark(payload.slice(markPrefix.length)) : undefined;
  }
}

const c1States = new Map([
  [0x90, State.DcsEntry],
  [0x98, State.OtherString],
  [0x9b, State.Csi],
  [0x9d, State.Osc],
  [0x9e, State.OtherString],
  [0x9f, State.OtherString],
]);

const escapeStates = new Map([
  [0x50, State.DcsEntry],
  [0x58, State.OtherString],
  [0x5b, State.Csi],
  [0x5d, State.Osc],
  [0x5e, State.OtherString],
  [0x5f, State.OtherString],
]);

/** @param code from 0x20 to 0x3f */
function csiAfter(state: State, code: number): State {
  if (state === State.CsiIgnore) return state;
  if (code < 0x30) return State.CsiIntermediate;
  if (state === State.CsiIntermediate) return State.CsiIgnore;
  if (code >= 0x3c && state === State.CsiParameters) return State.CsiIgnore;
  return State.CsiParameters;
}

/** @param code from 0x20 to 0x3f */
function dcsAfter(state: State, code: number): State {
  if (code < 0x30) return State.DcsIntermediate;
  if (state === State.DcsIntermediate) return State.DcsIgnore;
  if (code >= 0x3c && state === State.DcsParameters) return State.DcsIgnore;
  return State.DcsParameters;
}

/** Index of the first byte from `from` on that is more than text or a plain control outside of any sequence. */
function nextOfInterest(chunk: Buffer, from: number, allAscii: boolean): number {
  if (allAscii) {
    const at = chunk.indexOf(escape, from);
    return at < 0 ? chunk.length : at;
  }
  let index = from;
  while (index < chunk.length) {
    const byte = chunk[index] ?? 0;
    if (byte === escape || byte >= 0x80) return index;
    index++;
  }
  return index;
}

function parseMark(payload: string): Mark | undefined {
  const [kind, code] = payload.split(';');
  switch (kind) {
    case 'A':
      return { kind: 'prompt-start' };
    case 'B':
      return { kind: 'prompt' };
    case 'C':
      return { kind: 'start' };
    case 'D':
      // An exit code has one byte (wait(2)).
      return {
        kind: 'end',
        exitCode: code !== undefined && /^\d{1,3}$/.test(code) && Number(code) < 256 ? Number(code) : null,
      };
    default:
      return undefined;
  }
}
