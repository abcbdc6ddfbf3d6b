/** The linter's rules for blocks that are run: shell syntax, and checks that fail without a word. */
import { execa } from 'execa';
import type { TextDiagnostic } from '../lessons/diagnostics';
import { fillValues } from '../lessons/fill';

/**
 * Asks bash whether it understands a script; nothing is run.
 * @param valueNames values stand for one word
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

/** Something that prints, as a command and not as a word of a text. */
const speaks = /(^|[;&|({]|\bthen|\belse|\bdo)\s*(echo|printf|cat)\b/;
/** Ends the script and says that the step is not done. */
const gaveUp = /(^|[;&|{]|\bthen|\belse|\bdo)\s*exit\s+[1-9]/;

/**
 * Where a check fails and tells nothing. The lesson test demands words as well, but only of the failure that it meets.
 */
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
