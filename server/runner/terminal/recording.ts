/** The kept output of a terminal, as a recording that the learner can download. */
import { castLines, type CastPart } from '../../lessons/cast';
import type { OutputLog, Size } from './output-log';

const beginningIsGone = 'the beginning is no longer kept';

/**
 * A terminal's output as an asciicast. Output that comes while the lines are read is not in it. When the beginning is no longer
 * kept, the recording starts where an empty terminal can, and says so.
 * @returns its lines
 */
export function castOf(log: OutputLog, title: string): Iterable<string> {
  const pieces = log.pieces;
  const begin = pieces[0]?.offset ?? log.end;
  const beganMs = pieces[0]?.atMs ?? Date.now();
  const parts: CastPart[] = [];
  if (begin > 0) {
    parts.push({ atMs: beganMs, bytes: Buffer.from(`\x1b[2m[${beginningIsGone}]\x1b[0m\r\n`) });
  }
  let position = log.positionAt(begin) ?? log.endPosition;
  let size = log.sizeAt(position);
  /** The size at the first byte. */
  let firstSize: Size | undefined;
  for (let index = 0; ;) {
    const next = pieces[index + 1]?.offset ?? log.end;
    const item = log.at(position, next - position.offset);
    if (item === undefined) break;
    position = item.next;
    if (item.type === 'bytes') {
      firstSize ??= size;
      parts.push({ atMs: pieces[index]?.atMs ?? beganMs, bytes: item.bytes });
      if (position.offset === next) index++;
    } else if (item.event.type === 'size') {
      const { columns, rows } = item.event.size;
      // The log repeats a size when another page decides it.
      const isNew = columns !== size.columns || rows !== size.rows;
      if (isNew && firstSize) parts.push({ atMs: item.atMs, columns, rows });
      size = item.event.size;
    }
  }
  const fullTitle = begin > 0 ? `${title} (${beginningIsGone})` : title;
  return castLines({ title: fullTitle, ...(firstSize ?? size), beganMs }, parts);
}
