/** Asciicasts, version 2: a header line of JSON with the terminal's size, then one line for each event. */

/** The media type of a cast. */
export const castType = 'application/x-asciicast';

/** Upper limit of a cast's length: JSON may escape each byte as six characters, and each event adds its line. */
export const maxCastLength = (outputBytes: number): number => 6 * outputBytes + 1024 * 1024;

/** Output of a terminal. */
interface CastEvent {
  /** Seconds since the recording began. */
  at: number;
  text: string;
}

export interface Cast {
  columns: number;
  rows: number;
  /** Output only, in time order. */
  events: readonly CastEvent[];
}

/** Header of a cast. */
export interface CastHead {
  title: string;
  /** Size at the beginning. */
  columns: number;
  rows: number;
  /** Start, in Unix milliseconds like the times of the parts. */
  beganMs: number;
}

/** An event of a terminal: output, or a new size. */
export type CastPart = { atMs: number } & ({ bytes: Uint8Array } | { columns: number; rows: number });

/** Players shorten longer pauses, in seconds. The file keeps the real times. */
const idleTimeLimit = 2;

/** Controls that JSON does not escape. A terminal in which somebody prints the file would obey them. */
const bareControls = /[\u007f-\u009f]/g;
const textOf = (value: unknown): string =>
  JSON.stringify(value).replace(
    bareControls,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/**
 * Writes a cast. All output becomes JSON text. A character may be split across parts; bytes that are not UTF-8 become U+FFFD.
 * @param parts in their order; a time earlier than the previous part's counts as the previous part's
 * @returns lines with their line ends
 */
export function* castLines(head: CastHead, parts: Iterable<CastPart>): Generator<string> {
  const { title, columns, rows, beganMs } = head;
  const header = {
    version: 2,
    width: columns,
    height: rows,
    timestamp: Math.floor(beganMs / 1000),
    idle_time_limit: idleTimeLimit,
    title,
    env: { TERM: 'xterm-256color' },
  };
  yield `${textOf(header)}\n`;
  // U+FEFF is an ordinary character here.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let ms = 0;
  const line = (kind: 'o' | 'r', data: string) => `${textOf([ms / 1000, kind, data])}\n`;
  for (const part of parts) {
    ms = Math.max(ms, Math.round(part.atMs - beganMs));
    if ('bytes' in part) {
      const text = decoder.decode(part.bytes, { stream: true });
      if (text !== '') yield line('o', text);
    } else {
      yield line('r', `${part.columns}x${part.rows}`);
    }
  }
  const rest = decoder.decode();
  if (rest !== '') yield line('o', rest);
}

/** @throws Error when the text is not an asciicast of version 2 */
export function parseCast(text: string): Cast {
  const [first = '', ...lines] = text.split('\n');
  const header = JSON.parse(first) as { version?: unknown; width?: unknown; height?: unknown };
  const { version, width, height } = header;
  if (version !== 2 || typeof width !== 'number' || typeof height !== 'number') {
    throw new Error('This is not an asciicast of version 2.');
  }
  const events = lines.flatMap((line): CastEvent[] => {
    if (line === '') return [];
    const [at, kind, data] = JSON.parse(line) as [number, string, string];
    return kind === 'o' ? [{ at, text: data }] : [];
  });
  return { columns: width, rows: height, events };
}
