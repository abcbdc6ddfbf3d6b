/** Asciicasts, version 2: a line of JSON with the terminal's size, and one for each thing that happened. */

/** The media type of a cast. */
export const castType = 'application/x-asciicast';

/** No cast of so much output is longer: each byte may be a control character of six, and each event has its line. */
export const maxCastLength = (outputBytes: number): number => 6 * outputBytes + 1024 * 1024;

/** Something that a terminal has shown. */
interface CastEvent {
  /** Seconds since the recording began. */
  at: number;
  text: string;
}

export interface Cast {
  columns: number;
  rows: number;
  /** Output alone, in the order of time. */
  events: readonly CastEvent[];
}

/** What a cast says of itself before anything happens. */
export interface CastHead {
  title: string;
  /** At the beginning. */
  columns: number;
  rows: number;
  /** When it began, in milliseconds of the epoch, as the times of its parts are. */
  beganMs: number;
}

/** Something that happened to a terminal: it has put out bytes, or has another size from then on. */
export type CastPart = { atMs: number } & ({ bytes: Uint8Array } | { columns: number; rows: number });

/** Players shorten longer pauses, in seconds; the real times stay in the file. */
const idleTimeLimit = 2;

/** Controls that JSON lets stand as they are: a terminal in which somebody prints the file would obey them. */
const bareControls = /[\u007f-\u009f]/g;
const textOf = (value: unknown): string =>
  JSON.stringify(value).replace(
    bareControls,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/**
 * Writes a cast. Whatever a program has put out is text in JSON and nothing else: characters may be cut across parts, and what is
 * no UTF-8 becomes U+FFFD.
 * @param parts in their order; a time before that of the part before counts as the same
 * @returns its lines, each with its end
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
  // U+FEFF is a character like any other here.
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

/** @throws Error when the text is no asciicast of version 2 */
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
