/**
 * `npm run bench:pairs` measures how long pairs take to be ready and how much memory they use on this machine, through the gateway and
 * the learner's socket.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mkdtemp } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../config';
import { Rehearsal } from '../authoring/rehearsal';
import { Learner } from '../client/learner';
import { processIdsOf } from '../testing/leftovers';
import { startTestLab, type TestLab } from '../testing/lab';
import { loadLesson } from '../lessons/load';
import { percentile } from '../gateway/percentile';
import { hostNames } from '../protocol/hosts';
import { root } from '../root';
import { listArtifacts } from '../store/artifacts';
import { writePairPeaks } from '../store/pair-cost';
import { qemuVersion } from '../template/accelerator';
import { prepareLab } from '../setup/stages';

const lessonId = 'live-migration';
const timeoutMs = 600_000;

export interface BenchOptions {
  /** Number of samples for each duration. */
  rounds: number;
  /** Number of idle pairs while their memory is measured. */
  pairs: number;
  /** How long to start one pair after the other, in milliseconds. */
  sustainMs: number;
}

interface Row {
  what: string;
  p50: string;
  p95: string;
  min: string;
  max: string;
  samples: number;
}

function row(what: string, samples: readonly number[], digits = 0): Row {
  const show = (value: number | undefined) => (value ?? NaN).toFixed(digits);
  return {
    what,
    p50: show(percentile(samples, 0.5)),
    p95: show(percentile(samples, 0.95)),
    min: show(Math.min(...samples)),
    max: show(Math.max(...samples)),
    samples: samples.length,
  };
}

/** Connects and waits until both shells show their prompts and echo what is typed. */
async function attach(learner: Learner): Promise<void> {
  await learner.connect();
  for (const host of hostNames) learner.attach(host);
  await untilInteractive(learner);
}

async function untilInteractive(learner: Learner): Promise<void> {
  for (const host of hostNames) await learner.untilPrompt(host, true, timeoutMs);
  const mark = `echo-${Math.random().toString(36).slice(2, 8)}`;
  for (const host of hostNames) learner.type(host, mark);
  for (const host of hostNames) {
    await learner.until(() => learner.screen(host).includes(mark), timeoutMs, 'echo');
    // Ctrl-U clears the line.
    learner.type(host, '\x15');
  }
}

async function timed(doing: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await doing();
  return performance.now() - begun;
}

async function poolReady(lab: TestLab, atLeast: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const reply = await fetch(`${lab.operationsUrl()}/ready`);
    const { poolReady: ready } = (await reply.json()) as { poolReady: number };
    if (ready >= atLeast) return;
    if (Date.now() > deadline) throw new Error(`The pool has only ${ready} of ${atLeast} pairs.`);
    await sleep(100);
  }
}

/** Sums `smaps_rollup` fields over all QEMU processes of a lab, in MiB (proc_pid_smaps(5)). */
function memoryMiB(lab: TestLab, fields: readonly string[]): number {
  let kibibytes = 0;
  for (const pid of processIdsOf(lab.stateDir, 'qemu-system-x86_64')) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    for (const field of fields) {
      kibibytes += Number(new RegExp(`^${field}: +(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
    }
  }
  return kibibytes / 1024;
}

function availableMiB(): number {
  return Number(/^MemAvailable: +(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) / 1024;
}

async function withLab<T>(
  overrides: Parameters<typeof startTestLab>[0],
  body: (lab: TestLab) => Promise<T>,
): Promise<T> {
  const lab = await startTestLab(overrides);
  try {
    return await body(lab);
  } finally {
    await lab.stop();
  }
}

async function coldStarts(rounds: number): Promise<number[]> {
  return withLab({ poolSize: 0 }, async (lab) => {
    const samples: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const learner = new Learner(lab.url);
      samples.push(
        await timed(async () => {
          await learner.startSession(lessonId);
          await attach(learner);
        }),
      );
      await learner.request('DELETE', '/session');
    }
    return samples;
  });
}

async function warmStarts(rounds: number): Promise<{ acquire: number[]; reset: number[] }> {
  return withLab({ poolSize: 1 }, async (lab) => {
    const acquire: number[] = [];
    const reset: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const learner = new Learner(lab.url);
      await poolReady(lab, 1);
      acquire.push(
        await timed(async () => {
          await learner.startSession(lessonId);
          await attach(learner);
        }),
      );
      await poolReady(lab, 1);
      reset.push(
        await timed(async () => {
          await learner.request('POST', '/session/reset');
          await attach(learner);
        }),
      );
      await learner.request('DELETE', '/session');
    }
    return { acquire, reset };
  });
}

/** Does the whole lesson as a learner, and meanwhile rewinds repeatedly to the beginning of the third step. */
async function lessonAndRewinds(
  rounds: number,
): Promise<{ rewind: number[]; privateMiB: number; pssMiB: number }> {
  const lesson = await loadLesson(join(root, 'lessons'), lessonId);
  return withLab({ poolSize: 0 }, async (lab) => {
    const learner = new Learner(lab.url);
    const rehearsal = new Rehearsal(learner, lesson);
    await rehearsal.start();
    const rewind: number[] = [];
    const [first, second, third] = lesson.steps;
    if (!first || !second || !third) throw new Error('The lesson has fewer than three steps.');
    await rehearsal.doStep(first);
    await rehearsal.doStep(second);
    for (let round = 0; round < rounds; round++) {
      await learner.until(
        () => learner.latest('saves')?.saves.some(({ stepId }) => stepId === third.id) ?? false,
        timeoutMs,
        'saved state',
      );
      const after = learner.messages.length;
      rewind.push(
        await timed(async () => {
          learner.send({ type: 'rewind', stepId: third.id });
          await learner.waitFor('pair', ({ pair }) => pair.phase === 'rewinding', timeoutMs, after);
          await learner.waitFor('rewound', () => true, timeoutMs, after);
          await untilInteractive(learner);
        }),
      );
    }
    for (const step of lesson.steps.slice(2)) await rehearsal.doStep(step);
    const weight = { privateMiB: memoryMiB(lab, ['Anonymous']), pssMiB: memoryMiB(lab, ['Pss']) };
    await rehearsal.end();
    return { rewind, ...weight };
  });
}

/**
 * More than an idle pair uses. Without measurements, the lab counts each pair with the most that it may use, and would not start so
 * many at once.
 */
const idlePairMiB = 512;

/** Measures the memory of many idle pairs, and of one more pair. */
async function idlePairs(pairs: number): Promise<{ privateMiB: number; pssMiB: number; slopeMiB: number }> {
  const stateDir = await mkdtemp(join(tmpdir(), 'lab-'));
  const { templateDir } = await prepareLab(readConfig(), root, new AbortController().signal);
  await writePairPeaks(stateDir, templateDir, [idlePairMiB * 2 ** 20]);
  return withLab({ poolSize: 0, maxSessions: pairs + 1, stateDir }, async (lab) => {
    const announce = (seats: number) =>
      fetch(`${lab.operationsUrl()}/workshop`, { method: 'POST', body: JSON.stringify({ seats }) });
    await announce(1);
    await poolReady(lab, 1);
    const withOne = availableMiB();
    await announce(pairs);
    await poolReady(lab, pairs);
    return {
      privateMiB: memoryMiB(lab, ['Anonymous']) / pairs,
      pssMiB: memoryMiB(lab, ['Pss']) / pairs,
      slopeMiB: (withOne - availableMiB()) / (pairs - 1),
    };
  });
}

async function sustained(durationMs: number): Promise<number> {
  return withLab({ poolSize: 2 }, async (lab) => {
    await poolReady(lab, 2);
    const until = Date.now() + durationMs;
    let started = 0;
    while (Date.now() < until) {
      const learner = new Learner(lab.url);
      await learner.startSession(lessonId);
      await attach(learner);
      started++;
      await learner.request('DELETE', '/session');
    }
    return started;
  });
}

/** Runs the benchmark and prints the table; takes about a quarter of an hour under TCG. */
export async function benchPairs({ rounds, pairs, sustainMs }: BenchOptions): Promise<void> {
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, QEMU ${await qemuVersion()}`;
  const accelerator = await withLab({}, (lab) => Promise.resolve(lab.accelerator));
  console.log(
    `On ${machine}, ${accelerator}. Times in ms, until both hosts show a prompt and echo a keystroke.`,
  );
  const rows: Row[] = [];
  const report = (...more: Row[]) => {
    rows.push(...more);
    console.table(more);
  };
  report(row('cold clone', await coldStarts(rounds)));
  const warm = await warmStarts(rounds);
  report(row('acquire from warm pool', warm.acquire), row('reset from warm pool', warm.reset));
  const done = await lessonAndRewinds(Math.min(rounds, 10));
  report(row('rewind', done.rewind));
  const idle = await idlePairs(pairs);
  console.log(`Measured ${pairs} idle pairs.`);
  const started = await sustained(sustainMs);
  console.table(rows);
  for (const { kind, info } of await listArtifacts(readConfig().cacheDir)) {
    if (info) console.log(`${info.label} (${kind}) was made in ${(info.buildMs / 1000).toFixed(0)} s.`);
  }
  const fit = Math.floor((16 * 1024) / idle.slopeMiB);
  console.log(`
Idle pair, ${pairs} at once:   private ${idle.privateMiB.toFixed(0)} MiB, PSS ${idle.pssMiB.toFixed(0)} MiB, one more uses ${idle.slopeMiB.toFixed(0)} MiB of the machine
Idle pairs in 16 GiB:      ${fit}, by the cost of one more
Pair after the lesson:     private ${done.privateMiB.toFixed(0)} MiB, PSS ${done.pssMiB.toFixed(0)} MiB
Pair starts sustained:     ${started} in ${(sustainMs / 1000).toFixed(0)} s, one learner after the other`);
}
