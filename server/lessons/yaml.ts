/** Reads YAML, in a lesson or beside it, and checks it against a schema. Its diagnostics name the line. */
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { describeIssues } from './describe';
import type { ReportDiagnostic } from './diagnostics';

type Path = readonly PropertyKey[];

/** Offset of a map's key or of a list's item. */
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
 * @param openingLine the file's line before the first line of the text; 0 when the text is the file
 * @param whole what the text is, at the beginning of a sentence: "The front matter"
 * @returns undefined when something was reported
 */
export function readYaml<Schema extends z.ZodType>(
  text: string,
  schema: Schema,
  { openingLine, whole, report }: { openingLine: number; whole: string; report: ReportDiagnostic },
): { value: z.output<Schema>; lineOf: (path: Path) => number } | undefined {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  const fileLine = (offset: number): number => openingLine + lineCounter.linePos(offset).line;
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
      const line = openingLine + (error.linePos?.[0].line ?? 1);
      report(line, `${whole} is not valid YAML: ${reason}.`);
    }
    return undefined;
  }
  /** The line of a path, or of the nearest parent that has one. */
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
  for (const { path, message } of describeIssues(parsed.error, schema, whole, isThere)) {
    report(lineOf(path), message);
  }
  return undefined;
}
