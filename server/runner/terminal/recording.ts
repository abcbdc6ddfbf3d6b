/** What is kept of a terminal's output, as a recording that the learner can take home. */
import { castLines, type CastPart } from '../../lessons/cast';
import type { OutputLog, Size } from './output-log';

const beginningIsGone = 'the beginning is no longer kept';

/**
 * A terminal's output as an asciicast, as it is now: what comes while the lines are read is not in it. When the beginning is no
 * longer kept it begins where an empty terminal can, and says so.
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
  let place = log.positionAt(begin) ?? log.endPlace;
  let size = log.sizeAt(place);
  /** That of the first byte. */
  let firstSize: Size | undefined;
  for (let index = 0; ;) {
    const next = pieces[index + 1]?.offset ?? log.end;
    const item = log.at(place, next - place.offset);
    if (item === undefined) break;
    place = item.next;
    if (item.type === 'bytes') {
      firstSize ??= size;
      parts.push({ atMs: pieces[index]?.atMs ?? beganMs, bytes: item.bytes });
      if (place.offset === next) index++;
    } else if (item.event.type === 'size') {
      const { columns, rows } = item.event.size;
      // A size is told again when another page decides it.
      const isNew = columns !== size.columns || rows !== size.rows;
      if (isNew && firstSize) parts.push({ atMs: item.atMs, columns, rows });
      size = item.event.size;
    }
  }
  const fullTitle = begin > 0 ? `${title} (${beginningIsGone})` : title;
  return castLines({ title: fullTitle, ...(firstSize ?? size), beganMs }, parts);
}
