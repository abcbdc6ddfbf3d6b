/** A learner goes back in a lesson: the hosts, the page and the terminals go with them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Rehearsal } from '../authoring/rehearsal';
import { loadLesson } from '../lessons/load';
import type { Lesson } from '../lessons/lesson';
import { hostNames } from '../protocol/hosts';
import { root } from '../root';
import { Learner } from '../client/learner';
import { busyMs, labSetUpTimeoutMs, startTestLab, type TestLab } from '../testing/lab';

const timeoutMs = 180_000;

describe('going back', () => {
  let lab: TestLab;
  let lesson: Lesson;
  let learner: Learner;
  let firstId = '';
  let secondId = '';

  beforeAll(async () => {
    lab = await startTestLab();
    lesson = await loadLesson(join(root, 'lessons'), 'live-migration');
    [firstId = '', secondId = ''] = lesson.steps.map(({ id }) => id);
    learner = new Learner(lab.url);
    const rehearsal = new Rehearsal(learner, lesson);
    await rehearsal.start();
    learner.type('source', 'kept=before; echo was-"$kept"\r');
    await learner.until(() => learner.screen('source').includes('was-before'), timeoutMs, 'echo');
    await learner.untilPrompt('source', true, timeoutMs);
    for (const step of lesson.steps.slice(0, 1)) await rehearsal.doStep(step);
  }, labSetUpTimeoutMs);
  afterAll(async () => {
    await lab.stop();
  });

  /** Runs a command in the terminal of source; its output must hold what is expected. */
  const says = async (command: string, expected: RegExp) => {
    await learner.untilPrompt('source', true, timeoutMs);
    const before = learner.screen('source').length;
    learner.type('source', `${command}; echo the-"end"\r`);
    await learner.until(
      () => learner.screen('source').slice(before).includes('the-end'),
      timeoutMs,
      `answer to ${command}`,
    );
    expect(learner.screen('source').slice(before)).toMatch(expected);
  };

  const rewind = async (stepId: string) => {
    const after = learner.messages.length;
    learner.send({ type: 'rewind', stepId });
    await learner.waitFor('pair', ({ pair }) => pair.phase === 'rewinding', timeoutMs, after);
    const rewound = await learner.waitFor('rewound', () => true, timeoutMs, after);
    await learner.waitFor('pair', ({ pair }) => pair.phase === 'ready', timeoutMs, after);
    for (const host of hostNames) {
      await learner.waitFor('prompt', ({ terminal, idle }) => terminal === host && idle, timeoutMs, after);
    }
    return rewound;
  };

  test('each finished step leaves a state to go back to', async () => {
    const { saves } = await learner.waitFor('saves', (message) => message.saves.length > 0, timeoutMs);
    expect(saves.map(({ stepId }) => stepId)).toEqual([secondId]);
  });

  test('to a step finds processes, files and shells as they were', async () => {
    await says('podman rm -f -a -t 0; kept=after; touch /root/later; setenforce 0', /the-end/);
    const rewound = await rewind(secondId);
    expect(rewound.steps[firstId]?.state).toBe('passed');
    expect(rewound.steps[secondId]?.state).toBe('open');
    expect(rewound.runs.every(({ stepId }) => stepId === firstId)).toBe(true);
    expect(learner.screen('source')).toContain('rewound: both hosts');
    await says('pgrep -x java', /\d+/);
    await says('echo "$kept"; ls /root/later; getenforce', /before\r\n[^]*No such file[^]*Enforcing/);
    await says('date +now=%s', /now=\d+/);
    const now = Number(/now=(\d+)(?![^]*now=\d)/.exec(learner.screen('source'))?.[1]);
    expect(Math.abs(now * 1000 - Date.now())).toBeLessThan(busyMs);
  });

  test('works again, and from another tab that stays attached', async () => {
    const other = new Learner(lab.url, learner.browser);
    await other.connect();
    other.attach('source');
    await rewind(secondId);
    await other.until(
      () => other.screen('source').split('rewound: both hosts').length === 3,
      timeoutMs,
      'both notices in the other tab',
    );
    other.cut();
  });

  test('to a step that was never reached is refused, and the hosts stay as they are', async () => {
    const last = lesson.steps.at(-1)?.id ?? '';
    const after = learner.messages.length;
    learner.send({ type: 'rewind', stepId: last });
    const { error } = await learner.waitFor('error', () => true, 10_000, after);
    expect(error.code).toBe('no-saved-state');
    await sleep(500);
    expect(learner.closeCode).toBeUndefined();
    await says('pgrep -x java', /\d+/);
  });

  test('to the first step is a pair as new, and what was later is forgotten', async () => {
    const after = learner.messages.length;
    const rewound = await rewind(firstId);
    expect(Object.values(rewound.steps).every(({ state }) => state === 'open')).toBe(true);
    const { saves } = await learner.waitFor('saves', () => true, timeoutMs, after);
    expect(saves).toEqual([]);
    await says('pgrep -x java || echo no-"java"', /no-java/);
  });
});
