/** The lesson test: each lesson's own blocks on a real pair, through the path that a learner's click takes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { readConfig } from '../server/config';
import { startGateway, type Gateway } from '../server/gateway/gateway';
import { Learner } from '../server/gateway/learner';
import { listLessons } from '../server/lessons/load';
import { prepareLab } from '../server/setup/stages';
import { Rehearsal } from './rehearsal';

const root = fileURLToPath(new URL('..', import.meta.url));
const lessonsDir = join(root, 'lessons');
const lessons = await listLessons(lessonsDir);

/** With a cold cache the host image and the template are made first. */
const setUpTimeoutMs = 3_600_000;

let stateDir: string;
let gateway: Gateway;

beforeAll(async () => {
  // A state directory of its own: a server that runs on this machine keeps its sessions. Short, because of socket paths.
  stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const config = { ...readConfig(), port: 0, stateDir };
  const lab = await prepareLab(config, root, new AbortController().signal);
  gateway = await startGateway({
    config,
    lab,
    lessonsDir,
    siteDir: undefined,
    runnerProgram: join(root, 'dist', 'runner.js'),
    log: pino({ level: 'warn' }),
  });
}, setUpTimeoutMs);

afterAll(async () => {
  await gateway.stop('server-stopped');
  await rm(stateDir, { recursive: true });
});

describe.each(lessons)('$id', (lesson) => {
  let rehearsal: Rehearsal;
  let isBroken = false;

  beforeAll(async () => {
    rehearsal = new Rehearsal(new Learner(gateway.url), lesson);
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
