/** The linter's rules for blocks that are run: shell syntax, and checks that fail without a word. */
import { execa } from 'execa';
import { fillValues } from '../lessons/fill';

/** A defect of a script; lines count from 1 at its first. */
interface ScriptDefect {
  line: number;
  text: string;
}

/**
 * Asks bash whether it understands a script; nothing is run.
 * @param valueNames values stand for one word
 */
export async function findSyntaxErrors(
  script: string,
  valueNames: readonly string[],
): Promise<ScriptDefect[]> {
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
  return [{ line: Number(line ?? 1), text: `bash cannot read this: ${reason ?? stderr.trim()}.` }];
}

/** Something that prints, as a command and not as a word of a text. */
const speaks = /(^|[;&|({]|\bthen|\belse|\bdo)\s*(echo|printf|cat)\b/;
/** Ends the script and says that the step is not done. */
const gaveUp = /(^|[;&|{]|\bthen|\belse|\bdo)\s*exit\s+[1-9]/;

/**
 * Where a check fails and tells nothing. The lesson test demands words as well, but only of the failure that it meets.
 */
export function findSilentFailures(script: string): ScriptDefect[] {
  const lines = script.split('\n');
  const defects: ScriptDefect[] = [];
  if (!lines.some((line) => speaks.test(line)))
    return [
      { line: 1, text: 'The check never says what is missing. Add: || { echo "What to do."; exit 1; }' },
    ];
  for (const [index, line] of lines.entries()) {
    const text = line.trim();
    if (/^set\s+-\w*e/.test(text))
      defects.push({
        line: index + 1,
        text: 'With `set -e` a check ends at any failure and tells nothing. Say what is missing where it fails.',
      });
    if (gaveUp.test(text) && !speaks.test(text) && !speaks.test(lines[index - 1] ?? ''))
      defects.push({
        line: index + 1,
        text: 'The check fails here and tells nothing. Say before `exit` what is missing.',
      });
  }
  const last = lines.findLastIndex((line) => line.trim() !== '' && !line.trim().startsWith('#'));
  if (
    /^(\[|\[\[|test|grep|!|pgrep|ss|systemctl|cmp|diff)\s/.test(lines[last]?.trim() ?? '') &&
    !speaks.test(lines[last] ?? '')
  )
    defects.push({
      line: last + 1,
      text: 'The check ends with a test, so it fails and tells nothing. Add: || { echo "What to do."; exit 1; }',
    });
  return defects;
}
