/** The lesson test on small lessons of its own, on real pairs: what it accepts, what it tells, what it records. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseCast } from '../lessons/cast';
import { readConfig } from '../config';
import { labSetUpTimeoutMs } from '../testing/lab';
import type { Lesson } from '../lessons/lesson';
import { listLessons } from '../lessons/load';
import { lessonHash, recordingSchema } from '../lessons/recording';
import { formatResults, summarize, testLessons, type LessonResult } from './test-lessons';

const fence = (words: string, text: string): string => `\`\`\`${words}\n${text}\n\`\`\`\n`;
const matter = (order: number): string =>
  `---\n{ title: T, summary: S, minutes: 1, part: 1, order: ${order}, outcomes: [Do it], sources: [{ name: A, file: f, what: w }] }\n---\n`;
const exists = (path: string, host = 'source'): string =>
  fence(
    `bash check host=${host}`,
    `[ -e ${path} ] || { echo 'There is no ${path}.'; exit 1; }\necho '${path} is there.'`,
  );

const lessons: Record<string, string[]> = {
  sampler: [
    fence('text file=/root/deep/note host=both', 'from the lesson'),
    fence('bash file=/root/tool host=destination executable', '#!/bin/bash\ncat /root/deep/note'),
    '## Files\n',
    fence('bash run host=destination', '/root/tool | ssh source "cat /root/deep/note -; touch /tmp/zero"'),
    fence('text output', 'from the lesson\nfrom the lesson'),
    exists('/tmp/zero'),
    '## Values and output\n',
    fence('bash value=kernel host=destination', 'uname -r'),
    fence('bash run host=source', 'touch /tmp/one; echo first; \\\n  echo "kernel <kernel>"'),
    fence('text output', 'first\n…\nkernel   <kernel>'),
    exists('/tmp/one'),
    '## A failure that is meant\n',
    fence('bash run host=source exit=3', '(touch /tmp/two; exit 3)'),
    exists('/tmp/two'),
    '## Ended with Ctrl-C\n',
    fence('bash run host=source interrupt=1', 'touch /tmp/three; sleep 1000'),
    fence('bash run host=destination interrupt', 'touch /tmp/four; sleep 1000'),
    fence(
      'bash check host=destination',
      "[ -e /tmp/four ] && pgrep -x sleep >/dev/null || { echo 'Nothing sleeps.'; exit 1; }\necho 'It sleeps.'",
    ),
    '## Two terminals\n',
    fence('bash run host=source terminal=2 interrupt', 'touch /tmp/second; sleep 1001'),
    fence('bash run host=source', 'pgrep -f "sleep 1001" && touch /tmp/seen'),
    exists('/tmp/seen'),
    '## Goes on\n',
    fence(
      'bash run host=destination background',
      'until [ -e /tmp/stop ]; do sleep 0.2; done; touch /tmp/five',
    ),
    fence('bash run host=source', 'touch /tmp/six'),
    exists('/tmp/six'),
    '## An exercise\n',
    '<details>\n<summary>Solution</summary>\n',
    fence(
      'bash solve host=source',
      "for word in a b; do\n  echo $word\ndone >/tmp/words\ncat >/tmp/text <<'END'\nc\nEND\nssh destination touch /tmp/stop",
    ),
    '</details>\n',
    fence(
      'bash check host=source',
      "[ \"$(cat /tmp/words /tmp/text)\" = $'a\\nb\\nc' ] || { echo 'No words.'; exit 1; }",
    ),
    exists('/tmp/five', 'destination'),
  ],
  'wrong-exit': [
    '## One\n',
    fence('bash run host=source', 'touch /tmp/one'),
    exists('/tmp/one'),
    '## Two\n',
    fence('bash run host=source', 'logger marked-by-the-test; echo on-the-screen; false'),
    exists('/tmp/two'),
  ],
  'wrong-output': [
    '## One\n',
    fence('bash run host=source', 'touch /tmp/one'),
    fence('text output', 'done'),
    exists('/tmp/one'),
  ],
  early: ['## One\n', fence('bash run host=source', 'touch /tmp/one'), exists('/tmp')],
  lenient: [
    '## Needless\n',
    fence('bash run host=source', 'touch /tmp/one'),
    exists('/tmp/one'),
    '## Does it all\n',
    fence('bash run host=source', 'touch /tmp/one /tmp/two'),
    exists('/tmp/two'),
    '## Needed\n',
    fence('bash run host=source', 'touch /tmp/three'),
    exists('/tmp/three'),
  ],
};

let lessonsDir: string;
let all: Lesson[];

beforeAll(async () => {
  lessonsDir = await mkdtemp(join(tmpdir(), 'lessons-'));
  // Runners read them, as users of their own.
  await chmod(lessonsDir, 0o755);
  for (const [index, [id, body]] of Object.entries(lessons).entries()) {
    await mkdir(join(lessonsDir, id));
    await writeFile(join(lessonsDir, id, 'lesson.mdx'), [matter(index + 1), ...body].join('\n'));
  }
  all = await listLessons(lessonsDir);
}, labSetUpTimeoutMs);
afterAll(async () => {
  await rm(lessonsDir, { recursive: true });
});

const run = (
  ids: string[],
  options: { record?: boolean; mutate?: boolean; settleMs?: number },
): Promise<LessonResult[]> =>
  testLessons(
    readConfig(),
    all.filter(({ id }) => ids.includes(id)),
    { ...options, lessonsDir, signal: new AbortController().signal },
  );

test('a lesson with all that the contract knows passes, and is recorded', async () => {
  const results = await run(['sampler'], { record: true });
  expect(formatResults(results)).toMatch(/^passed sampler: 7 of 7 steps in /);
  expect(summarize(results)).toEqual({ passed: 7, failures: [] });

  const folder = join(lessonsDir, 'sampler', 'recordings');
  const manifest = recordingSchema.parse(JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')));
  expect(manifest.lesson).toBe(lessonHash(all.find(({ id }) => id === 'sampler') as Lesson));
  const steps = Object.values(manifest.steps);
  expect(steps.map(({ runs }) => runs.map(({ exitCode }) => exitCode))).toEqual([
    [0],
    [0],
    [3],
    [null, null],
    [null, 0],
    [null, 0],
    [],
  ]);
  expect(steps[1]?.runs[0]?.output).toMatch(/^first\nkernel \d+\.\d+\S*$/);
  expect(steps[3]?.runs[0]?.output).toBe('^C');
  const casts = steps.flatMap((step) => Object.values(step.casts));
  expect((await readdir(folder)).sort()).toEqual(['manifest.json', ...casts].sort());
  const cast = parseCast(await readFile(join(folder, 'values-and-output.source.cast'), 'utf8'));
  const shown = cast.events.map(({ text }) => text).join('');
  expect(shown).toMatch(/^\u001b\]133;A\u0007.*root@.*touch \/tmp\/one.*first\r\nkernel /s);
}, 600_000);

test('a failure tells the place, the command, the screens and what the hosts have logged; others go on meanwhile', async () => {
  const results = await run(['wrong-exit', 'wrong-output', 'early'], {});
  expect(summarize(results)).toEqual({
    passed: 1,
    failures: [
      expect.stringMatching(/^wrong-exit: lessons\/wrong-exit\/lesson\.mdx:18: .* ended with exit code 1\.$/),
      expect.stringMatching(/^wrong-output: lessons\/wrong-output\/lesson\.mdx:7: /),
      expect.stringMatching(/^early: lessons\/early\/lesson\.mdx:5: /),
    ],
  });
  const [exit = '', output = '', early = ''] = results.map(({ failure }) => failure);
  expect(exit).toMatch(
    /^lessons\/wrong-exit\/lesson\.mdx:18: `logger marked-by-the-test; echo on-the-screen; false` ended with exit code 1\.\n/,
  );
  expect(exit).toMatch(/── source\n.*on-the-screen/s);
  expect(exit).toMatch(
    /── logs of source\njournal:.*marked-by-the-test.*audit:.*type=.*── logs of destination\njournal:/s,
  );
  expect(output).toMatch(/lesson\.mdx:7: `touch \/tmp\/one` did not print what line 11 says: done\n/);
  expect(early).toMatch(/lesson\.mdx:5: The check passes before the step: \/tmp is there\.\n/);
  expect(formatResults(results)).toMatch(/FAILED wrong-exit: 1 of 2 steps.*FAILED wrong-output: 0 of 1/s);
}, 600_000);

test('a step that nobody misses when it is left out is found', async () => {
  // Nothing that these steps begin goes on when they have ended.
  const [result] = await run(['lenient'], { mutate: true, settleMs: 2000 });
  expect(result?.failure).toBeUndefined();
  expect(result?.survivors?.map(({ id }) => id)).toEqual(['needless']);
  expect(summarize(result ? [result] : [])).toEqual({
    passed: 3,
    failures: ['lenient: no check notices that needless is left out'],
  });
}, 600_000);
