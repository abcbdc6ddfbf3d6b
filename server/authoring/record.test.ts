import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Lesson, Run, Step } from '../lessons/lesson';
import { lessonHash, recordingSchema } from '../lessons/recording';
import { Recorder } from './record';

const run: Run = { host: 'source', text: 'true', line: 1, terminal: 1, exit: 0, background: false };
const step = (id: string): Step => ({ id, title: id, line: 1, runs: [run], checks: [], solves: [] });
const lesson: Lesson = {
  id: 'x',
  title: 'A title',
  summary: '',
  minutes: 1,
  part: 1,
  order: 1,
  outcomes: [],
  'builds-on': [],
  sources: [],
  slides: {},
  cpus: {},
  steps: [step('one'), step('two')],
  values: [],
  setups: [],
  files: [],
};
const result = { ms: 3000, runs: [{ exitCode: 0, ms: 20, output: 'a' }], before: 'not yet', after: 'done' };

let folder: string;
beforeEach(async () => {
  vi.useFakeTimers({ now: 1_000_000 });
  folder = await mkdtemp(join(tmpdir(), 'recording-'));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true });
});

const prompt = '\u001b]133;A\u0007# \u001b]133;B\u0007';

async function castOf(file: string): Promise<unknown[]> {
  const text = await readFile(join(folder, 'recordings', file), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

test('writes a cast for each step and terminal that showed anything, each beginning with its prompt', async () => {
  const recorder = new Recorder(lesson);
  const show = (terminal: string, text: string, afterMs = 0): void => {
    vi.advanceTimersByTime(afterMs);
    recorder.output(terminal, Buffer.from(text));
  };
  show('source', `welcome\r\n${prompt}`);
  show('destination', prompt);
  recorder.beginStep();
  show('source', 'true\r\n', 1500);
  show('source', `out ${prompt.slice(0, 4)}`, 500);
  show('source', prompt.slice(4));
  const [one, two] = lesson.steps as [Step, Step];
  recorder.endStep(one, result);
  recorder.beginStep();
  // A letter that is cut in two.
  recorder.output('destination', Buffer.from('é').subarray(0, 1));
  vi.advanceTimersByTime(1000);
  recorder.output('destination', Buffer.from('é').subarray(1));
  recorder.endStep(two, result);
  await recorder.write(folder, 'image', 'tcg');

  expect((await readdir(join(folder, 'recordings'))).sort()).toEqual([
    'manifest.json',
    'one.source.cast',
    'two.destination.cast',
  ]);
  expect(await castOf('one.source.cast')).toEqual([
    {
      version: 2,
      width: 100,
      height: 24,
      timestamp: 1000,
      idle_time_limit: 2,
      title: 'A title: one (source)',
      env: { TERM: 'xterm-256color' },
    },
    [0, 'o', prompt],
    [1.5, 'o', 'true\r\n'],
    [2, 'o', `out ${prompt.slice(0, 4)}`],
    [2, 'o', prompt.slice(4)],
  ]);
  expect((await castOf('two.destination.cast')).slice(1)).toEqual([
    [0, 'o', prompt],
    [1, 'o', 'é'],
  ]);
  const manifest = recordingSchema.parse(
    JSON.parse(await readFile(join(folder, 'recordings/manifest.json'), 'utf8')),
  );
  expect(manifest).toMatchObject({
    lesson: lessonHash(lesson),
    image: 'image',
    accelerator: 'tcg',
    recordedOn: '1970-01-01',
    steps: { one: { ms: 3000, message: 'done', casts: { source: 'one.source.cast' } } },
  });
  expect(manifest.steps['one']?.runs).toMatchObject([{ exitCode: 0, ms: 20, output: 'a' }]);
});

test('leaves the rest out of a cast that has no end', async () => {
  const recorder = new Recorder(lesson);
  recorder.beginStep();
  vi.advanceTimersByTime(1);
  for (let index = 0; index < 100; index++) recorder.output('source', Buffer.alloc(10_000, 'x'));
  recorder.endStep(lesson.steps[0] as Step, result);
  await recorder.write(folder, 'image', 'kvm');
  const cast = await castOf('one.source.cast');
  expect(JSON.stringify(cast).length).toBeLessThan(300_000);
  expect(cast.at(-1)).toEqual([0.001, 'o', '\r\n[output truncated]\r\n']);
});

test('has a hash of what is run, and not of the prose around it', () => {
  const moved = structuredClone(lesson);
  moved.summary = 'other';
  moved.steps[0] = { ...step('one'), line: 9, title: 'other', runs: [{ ...run, line: 10 }] };
  expect(lessonHash(moved)).toBe(lessonHash(lesson));
  moved.steps[0].checks.push({ host: 'source', text: 'true', line: 1 });
  expect(lessonHash(moved)).not.toBe(lessonHash(lesson));
});
