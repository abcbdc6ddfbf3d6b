import type { Lesson } from '../lessons/lesson';
import { LabError } from '../protocol/errors';
import { hostNames } from '../protocol/hosts';
import type { Pair } from './pair';

/** Writing a lesson's files takes a tenth of a second under TCG. */
const timeoutMs = 60_000;

/** Puts the lesson's files on both hosts, which the template does not have. @throws LabError `bad-lesson`, `host-unreachable` */
export async function provision(pair: Pair, { files }: Lesson, signal: AbortSignal): Promise<void> {
  for (const host of hostNames) {
    const scripts = files.filter((file) => file.host === host).map(({ text }) => text);
    if (scripts.length === 0) continue;
    const script = `set -e\n${scripts.join('\n')}`;
    const { exitCode, stderr } = await pair.channel(host).run(script, { timeoutMs, signal });
    if (exitCode !== 0)
      throw new LabError('bad-lesson', `The lesson’s files could not be written on ${host}: ${stderr}`);
  }
}
