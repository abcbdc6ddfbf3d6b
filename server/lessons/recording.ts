/**
 * Recordings of the lesson test in the lesson's folder: `recordings/manifest.json`, and an asciicast, version 2, for each step
 * and terminal with output. The page shows the output under each command and plays the casts. The linter warns when a
 * recording no longer matches its lesson.
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
  /** Null for a command that kept running or that Ctrl-C ended. */
  exitCode: z.number().int().nullable(),
  ms: z.number().int().nonnegative(),
  /** Output without escape sequences. The middle of a long output is cut out. */
  output: z.string(),
});
type RecordedRun = z.infer<typeof recordedRunSchema>;

const recordedStepSchema = z.object({
  /** Time until the check passed. */
  ms: z.number().int().nonnegative(),
  /** One for each run block of the step, in the same order. */
  runs: z.array(recordedRunSchema),
  /** Last message of the check. */
  message: z.string(),
  /** File names of the casts by terminal id. The first terminal of a host has the host's name. */
  casts: z.record(z.string(), z.string().regex(castName)),
});
export type RecordedStep = z.infer<typeof recordedStepSchema>;

export const recordingSchema = z.object({
  version: z.literal(1),
  /** See {@link lessonHash}. */
  lesson: z.string(),
  /** Key of the host image that the test ran on. */
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

/** Changes when a command does something else, not when it moves. */
export const runHash = ({ host, terminal, text, exit, background, interrupt }: Run): string =>
  hash([host, terminal, text, exit, background, interrupt ?? null]);

/** Changes with everything that runs in a lesson, not with its prose. */
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

/** The recording of a run block; undefined when the block has changed since. */
export function recordedRun(
  recording: Recording | undefined,
  stepId: string,
  index: number,
  run: Run,
): RecordedRun | undefined {
  const recorded = recording?.steps[stepId]?.runs[index];
  return recorded?.hash === runHash(run) ? recorded : undefined;
}
