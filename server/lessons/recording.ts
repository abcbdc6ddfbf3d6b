/**
 * What the lesson test saw, kept in the lesson's folder: `recordings/manifest.json`, and for each step and terminal that showed
 * anything an asciicast, version 2. The page shows the output under each command and plays the casts; the linter tells when
 * they are not of this lesson any more.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Lesson, Run } from './lesson';

export const recordingsFolder = 'recordings';
export const manifestName = 'manifest.json';
/** Names of casts: `<step>.<terminal>.cast`. */
const castName = /^[a-z0-9-]+\.[a-z0-9-]+\.cast$/;

const recordedRunSchema = z.object({
  /** See {@link runHash}. */
  hash: z.string(),
  /** Null of a command that was not waited for, or ended with Ctrl-C. */
  exitCode: z.number().int().nullable(),
  ms: z.number().int().nonnegative(),
  /** What it printed, without escape sequences, its middle cut out when it is long. */
  output: z.string(),
});
type RecordedRun = z.infer<typeof recordedRunSchema>;

const recordedStepSchema = z.object({
  /** Until the check passed. */
  ms: z.number().int().nonnegative(),
  /** By the step's run blocks. */
  runs: z.array(recordedRunSchema),
  /** What the check said at last. */
  message: z.string(),
  /** File names of the casts by terminal, the hosts' own terminals being called as the hosts are. */
  casts: z.record(z.string(), z.string().regex(castName)),
});
export type RecordedStep = z.infer<typeof recordedStepSchema>;

export const recordingSchema = z.object({
  version: z.literal(1),
  /** See {@link lessonHash}. */
  lesson: z.string(),
  /** Key of the host image that it was run on. */
  image: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  /** Day of the recording, such as `2026-11-24`. */
  recordedOn: z.string(),
  columns: z.number().int().positive(),
  rows: z.number().int().positive(),
  steps: z.record(z.string(), recordedStepSchema),
});
export type Recording = z.infer<typeof recordingSchema>;

const hash = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);

/** Changes with what a command does, not with where it stands. */
export const runHash = ({ host, terminal, text, exit, background, interrupt }: Run): string =>
  hash([host, terminal, text, exit, background, interrupt ?? null]);

/** Changes with all that is run in a lesson, and not with its prose. */
export const lessonHash = ({ setups, files, values, steps, cpus }: Lesson): string =>
  hash([
    ...(Object.keys(cpus).length === 0 ? [] : [cpus]),
    [...setups, ...files].map(({ host, text }) => [host, text]),
    values.map(({ name, host, text }) => [name, host, text]),
    steps.map(({ id, runs, checks, solves }) => [
      id,
      runs.map(runHash),
      checks.map(({ host, text }) => [host, text]),
      solves.map(({ host, terminal, text }) => [host, terminal, text]),
    ]),
  ]);

/** What the recording has of a run block; nothing when the block has been changed since. */
export function recordedRun(
  recording: Recording | undefined,
  stepId: string,
  index: number,
  run: Run,
): RecordedRun | undefined {
  const recorded = recording?.steps[stepId]?.runs[index];
  return recorded?.hash === runHash(run) ? recorded : undefined;
}
