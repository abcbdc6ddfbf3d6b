/** `npm run bench:pair`: how long a pair takes to be there, and what it weighs, on this machine and now. */
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { startTestLab } from '../gateway/test-lab';
import { Learner } from '../gateway/learner';
import { processIdsOf } from '../gateway/remains';
import { hostNames } from '../protocol/hosts';
import { qemuVersion } from '../template/accelerator';

const timeoutMs = 300_000;

interface Sample {
  /** From the runner's start to both machines running with the template's state. */
  runningMs: number;
  /** From the click to a prompt on both hosts. */
  promptMs: number;
  /** Proportional set size of both QEMU processes at that moment. */
  pssMiB: number;
  /** Their private pages: what one more pair costs. */
  privateMiB: number;
}

function spread(values: number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)] ?? NaN;
  return `median ${middle.toFixed(0)}, min ${(sorted[0] ?? NaN).toFixed(0)}, max ${(sorted.at(-1) ?? NaN).toFixed(0)}`;
}

/** Sums fields of `smaps_rollup` in MiB. */
function memoryMiB(pids: number[], fields: string[]): number {
  let kibibytes = 0;
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    for (const field of fields) {
      kibibytes += Number(new RegExp(`^${field}: +(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
    }
  }
  return kibibytes / 1024;
}

/** @param rounds pairs to start, one after the other */
export async function benchPair(rounds: number, lessonId: string): Promise<void> {
  const lab = await startTestLab();
  const samples: Sample[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      const learner = new Learner(lab.url);
      const clickedAt = performance.now();
      await learner.startSession(lessonId);
      await learner.connect();
      for (const host of hostNames) learner.attach(host);
      for (const host of hostNames) {
        await learner.untilPrompt(host, true, timeoutMs);
      }
      const promptMs = performance.now() - clickedAt;
      const resumed = await learner.waitFor('pair', ({ pair }) => pair.phase === 'logging-in', timeoutMs);
      const qemu = processIdsOf(lab.stateDir, 'qemu-system-x86_64');
      const sample = {
        runningMs: resumed.pair.elapsedMs,
        promptMs,
        pssMiB: memoryMiB(qemu, ['Pss']),
        privateMiB: memoryMiB(qemu, ['Private_Clean', 'Private_Dirty']),
      };
      samples.push(sample);
      console.log(
        `${round}/${rounds}: running ${sample.runningMs} ms, prompt ${promptMs.toFixed(0)} ms, PSS ${sample.pssMiB.toFixed(0)} MiB`,
      );
      await learner.request('DELETE', '/session');
    }
  } finally {
    await lab.stop();
  }
  console.log(`
Pairs one after the other, ${rounds} rounds, ${lab.accelerator}
on ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, QEMU ${await qemuVersion()}
clone to running, ms:   ${spread(samples.map((sample) => sample.runningMs))}
click to prompts, ms:   ${spread(samples.map((sample) => sample.promptMs))}
PSS of a pair, MiB:     ${spread(samples.map((sample) => sample.pssMiB))}
private pages, MiB:     ${spread(samples.map((sample) => sample.privateMiB))}`);
}
