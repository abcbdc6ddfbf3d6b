/** Records a lesson test: asciicasts and their manifest, see server/lessons/recording.ts. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StepResult } from './rehearsal';
import { castLines, type CastPart } from '../lessons/cast';
import type { Lesson, Step } from '../lessons/lesson';
import { shorten } from '../lessons/output';
import {
  lessonHash,
  manifestName,
  recordingsFolder,
  recordingSchema,
  runHash,
  type RecordedStep,
  type Recording,
} from '../lessons/recording';
import type { Accelerator } from '../protocol/session';

/** Two terminals of this size fit beside a lesson on a laptop, and so does the widest line of `podman ps`. */
export const castSize = { columns: 100, rows: 24 };

/** Limit for one terminal in one step: enough for the output of a build, too little for that of a runaway program. */
const maxCastBytes = 256 * 1024;

interface Chunk {
  terminal: string;
  atMs: number;
  bytes: Buffer;
}

/** The shell's mark before its prompt (OSC 133, `A`). */
const promptMark = Buffer.from('\x1b]133;A\x07');

export class Recorder {
  readonly #lesson: Lesson;
  #chunks: Chunk[] = [];
  /** Output of each terminal since its newest prompt began. The next step's cast begins with it. */
  readonly #prompts = new Map<string, Buffer>();
  #beganMs = 0;
  readonly #steps: Record<string, RecordedStep> = {};
  readonly #casts = new Map<string, string>();

  constructor(lesson: Lesson) {
    this.#lesson = lesson;
  }

  /** Takes the output of a terminal. */
  readonly output = (terminal: string, bytes: Uint8Array): void => {
    const copy = Buffer.from(bytes);
    this.#chunks.push({ terminal, atMs: Date.now(), bytes: copy });
    const shown = Buffer.concat([this.#prompts.get(terminal) ?? Buffer.alloc(0), copy]);
    const from = shown.lastIndexOf(promptMark);
    this.#prompts.set(terminal, from < 0 ? shown.subarray(-promptMark.length) : shown.subarray(from));
  };

  beginStep(): void {
    this.#beganMs = Date.now();
    this.#chunks = [...this.#prompts]
      .filter(([, bytes]) => bytes.includes(promptMark))
      .map(([terminal, bytes]) => ({ terminal, atMs: this.#beganMs, bytes }));
  }

  endStep(step: Step, { ms, runs, after }: StepResult): void {
    const terminals = new Set(this.#chunks.map(({ terminal }) => terminal));
    const casts: Record<string, string> = {};
    for (const terminal of [...terminals].sort()) {
      const chunks = this.#chunks.filter((chunk) => chunk.terminal === terminal);
      // A cast of nothing but the prompt is useless.
      if (chunks.every(({ atMs }) => atMs === this.#beganMs)) continue;
      const file = `${step.id}.${terminal}.cast`;
      casts[terminal] = file;
      this.#casts.set(file, this.#cast(`${this.#lesson.title}: ${step.title} (${terminal})`, chunks));
    }
    this.#steps[step.id] = {
      ms,
      runs: step.runs.map((run, index) => ({
        hash: runHash(run),
        exitCode: runs[index]?.exitCode ?? null,
        ms: runs[index]?.ms ?? 0,
        output: shorten(runs[index]?.output ?? ''),
      })),
      message: after,
      casts,
    };
  }

  /** Replaces the lesson's recording. */
  async write(folder: string, image: string, accelerator: Accelerator): Promise<void> {
    const directory = join(folder, recordingsFolder);
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true });
    for (const [file, text] of this.#casts) await writeFile(join(directory, file), text);
    const recording: Recording = {
      version: 1,
      lesson: lessonHash(this.#lesson),
      image,
      accelerator,
      recordedOn: new Date().toISOString().slice(0, 10),
      ...castSize,
      steps: this.#steps,
    };
    const text = JSON.stringify(recordingSchema.parse(recording), null, 2);
    await writeFile(join(directory, manifestName), `${text}\n`);
  }

  #cast(title: string, chunks: readonly Chunk[]): string {
    const kept: CastPart[] = [];
    let bytes = 0;
    for (const chunk of chunks) {
      bytes += chunk.bytes.length;
      if (bytes > maxCastBytes) {
        kept.push({ atMs: chunk.atMs, bytes: Buffer.from('\r\n[output truncated]\r\n') });
        break;
      }
      kept.push(chunk);
    }
    return [...castLines({ title, ...castSize, beganMs: this.#beganMs }, kept)].join('');
  }
}
