/** A piece of a run block: plain text, or a value's placeholder. */
type TextPart = { text: string } | { valueName: string };

/** Splits text at each `<name>` of a declared value. Other words in angle brackets are shell text. */
export function splitAtValues(text: string, valueNames: readonly string[]): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(/<([a-z][a-z0-9-]*)>/g)) {
    const name = match[1] ?? '';
    if (!valueNames.includes(name)) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ valueName: name });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/**
 * Replaces the placeholders of a run block with the known values.
 * @param valueNames names that the lesson declares
 * @returns the text to type, or the name of each unknown value, once
 */
export function fillValues(
  text: string,
  valueNames: readonly string[],
  values: Readonly<Record<string, string>>,
): { text: string } | { missing: string[] } {
  const parts = splitAtValues(text, valueNames);
  const missing = parts.flatMap((part) =>
    'valueName' in part && !Object.hasOwn(values, part.valueName) ? [part.valueName] : [],
  );
  if (missing.length > 0) return { missing: [...new Set(missing)] };
  return { text: parts.map((part) => ('text' in part ? part.text : values[part.valueName])).join('') };
}
