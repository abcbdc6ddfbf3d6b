/** The linter's rules for scripts: shell syntax, and checks that fail without a message. */
import { execa } from 'execa';
import type { TextDiagnostic } from '../lessons/diagnostics';
import { fillValues } from '../lessons/fill';

/**
 * Asks bash whether it can parse a script, without running it.
 * @param valueNames values of the lesson; each stands for one word
 */
export async function findSyntaxErrors(
  script: string,
  valueNames: readonly string[],
): Promise<TextDiagnostic[]> {
  const values = Object.fromEntries(valueNames.map((name) => [name, 'word']));
  const filled = fillValues(script, valueNames, values);
  const input = 'text' in filled ? filled.text : script;
  const { exitCode, stderr } = await execa('bash', ['-n'], {
    input,
    reject: false,
    env: { LC_ALL: 'C' },
  });
  if (exitCode === 0) return [];
  const [, line, reason] = /line (\d+): (.*)/.exec(stderr) ?? [];
  return [{ line: Number(line ?? 1), message: `bash cannot parse this: ${reason ?? stderr.trim()}.` }];
}

/** A command that prints; the same word inside a text does not match. */
const speaks = /(^|[;&|({]|\bthen|\belse|\bdo)\s*(echo|printf|cat)\b/;
/** A command that ends the check as failed. */
const gaveUp = /(^|[;&|{]|\bthen|\belse|\bdo)\s*exit\s+[1-9]/;

/** Finds where a check fails without a message. The lesson test demands a message too, but only of the failure that it meets. */
export function findSilentFailures(script: string): TextDiagnostic[] {
  const lines = script.split('\n');
  const diagnostics: TextDiagnostic[] = [];
  if (!lines.some((line) => speaks.test(line)))
    return [
      { line: 1, message: 'The check never says what is missing. Add: || { echo "What to do."; exit 1; }' },
    ];
  for (const [index, line] of lines.entries()) {
    const text = line.trim();
    if (/^set\s+-\w*e/.test(text))
      diagnostics.push({
        line: index + 1,
        message:
          'With `set -e`, a check ends at any failure without a message. Print what is missing where it fails.',
      });
    if (gaveUp.test(text) && !speaks.test(text) && !speaks.test(lines[index - 1] ?? ''))
      diagnostics.push({
        line: index + 1,
        message: 'The check fails here without a message. Before `exit`, print what is missing.',
      });
  }
  const last = lines.findLastIndex((line) => line.trim() !== '' && !line.trim().startsWith('#'));
  if (
    /^(\[|\[\[|test|grep|!|pgrep|ss|systemctl|cmp|diff)\s/.test(lines[last]?.trim() ?? '') &&
    !speaks.test(lines[last] ?? '')
  )
    diagnostics.push({
      line: last + 1,
      message:
        'The check ends with a test, so it fails without a message. Add: || { echo "What to do."; exit 1; }',
    });
  return diagnostics;
}
