/** The lesson test: each lesson's own blocks on a real pair, through the path that a learner's click takes. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { Learner } from '../server/gateway/learner';
import { labSetUpTimeoutMs, startTestLab, type TestLab } from '../server/gateway/test-lab';
import { listLessons } from '../server/lessons/load';
import { Rehearsal } from './rehearsal';

const lessons = await listLessons(fileURLToPath(new URL('.', import.meta.url)));

let lab: TestLab;

beforeAll(async () => {
  lab = await startTestLab();
}, labSetUpTimeoutMs);
afterAll(async () => {
  await lab.stop();
});

describe.each(lessons)('$id', (lesson) => {
  let rehearsal: Rehearsal;
  let isBroken = false;

  beforeAll(async () => {
    rehearsal = new Rehearsal(new Learner(lab.url), lesson);
    await rehearsal.start();
  });
  afterAll(async () => {
    await rehearsal.end();
  });

  it.each(lesson.steps)('$title', async (step) => {
    // A step builds on those before it: after the first failure the others would only tell of that one again.
    if (isBroken) throw new Error('A step before this one failed.');
    isBroken = true;
    await rehearsal.doStep(step);
    isBroken = false;
  });
});
