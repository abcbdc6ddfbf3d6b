/** YAML within a lesson or beside it: read by a schema, with defects that name their line. */
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { complaintsOf } from './describe';

/** Something wrong in a file. */
export interface Defect {
  /** 1-based. */
  line: number;
  /** What is wrong and what to do: whole sentences. */
  text: string;
}

export type Report = (line: number, text: string) => void;

type Path = readonly PropertyKey[];

/** Where a path's key stands, or of a list its item. */
function offsetOf(document: Document, path: Path): number | undefined {
  if (path.length === 0) return undefined;
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isMap(parent)) {
    const key = parent.items
      .map((pair) => pair.key)
      .find((one) => isScalar(one) && String(one.value) === last);
    return isScalar(key) ? key.range?.[0] : undefined;
  }
  const node = document.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}

/**
 * @param text YAML
 * @param openingLine line of the file before the text's first; 0 when the text is the file
 * @param whole what it is, at the beginning of a sentence: "The front matter"
 * @param report told of each defect
 * @returns nothing when there are defects
 */
export function readYaml<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  { openingLine, whole, report }: { openingLine: number; whole: string; report: Report },
): { value: z.output<Schema>; lineOf: (path: Path) => number } | undefined {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  const fileLine = (offset: number): number => openingLine + lineCounter.linePos(offset).line;
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
      const line = openingLine + (error.linePos?.[0].line ?? 1);
      report(line, `${whole} is no valid YAML: ${reason}.`);
    }
    return undefined;
  }
  /** The line of a path, or of the nearest thing around it. */
  const lineOf = (path: Path): number => {
    for (let length = path.length; length > 0; length--) {
      const offset = offsetOf(document, path.slice(0, length));
      if (offset !== undefined) return fileLine(offset);
    }
    return Math.max(1, openingLine);
  };
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (parsed.success) return { value: parsed.data, lineOf };
  const isThere = (path: Path): boolean => offsetOf(document, path) !== undefined;
  for (const complaint of complaintsOf(parsed.error, schema, whole, isThere)) {
    report(lineOf(complaint.path), complaint.text);
  }
  return undefined;
}
