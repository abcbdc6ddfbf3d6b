/** Asciicasts, version 2: a line of JSON with the terminal's size, and one for each thing that happened. */

/** Something that a terminal has shown. */
export interface CastEvent {
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

/** @throws Error when the text is no asciicast of version 2 */
export function parseCast(text: string): Cast {
  const [first = '', ...lines] = text.split('\n');
  const header = JSON.parse(first) as { version?: unknown; width?: unknown; height?: unknown };
  const { version, width, height } = header;
  if (version !== 2 || typeof width !== 'number' || typeof height !== 'number') {
    throw new Error('This is no asciicast of version 2.');
  }
  const events = lines.flatMap((line): CastEvent[] => {
    if (line === '') return [];
    const [at, kind, data] = JSON.parse(line) as [number, string, string];
    return kind === 'o' ? [{ at, text: data }] : [];
  });
  return { columns: width, rows: height, events };
}
