/** What all our command lines share: Ctrl-C, and how failures are told. */
import { CommanderError, type Command } from 'commander';
import { LabError } from '../protocol/errors';
import { exitCodeFor, exitCodeOfDefect } from './exit-codes';

const stopping = new AbortController();
/** A terminal's Ctrl-C reaches this process twice, once from the terminal and once passed on by npm, a few ms apart. */
const sameKeyMs = 1000;
let firstSignalAt = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (firstSignalAt === 0) {
      firstSignalAt = Date.now();
      stopping.abort();
    } else if (Date.now() - firstSignalAt > sameKeyMs) {
      console.error('Stopped at once; the next start removes what is left.');
      process.exit(exitCodeFor('cancelled'));
    }
  });
}

/** Aborted by Ctrl-C and SIGTERM. */
export const stopSignal = stopping.signal;

function report(thrown: unknown): number {
  if (thrown instanceof CommanderError) {
    // Commander has printed its message already; 0 is --help.
    return thrown.exitCode === 0 ? 0 : exitCodeFor('bad-config');
  }
  if (!(thrown instanceof LabError) || thrown.code === 'internal') {
    console.error(thrown);
    return exitCodeOfDefect;
  }
  console.error(`\n${thrown.message}`);
  if (thrown.hint !== undefined) console.error(thrown.hint);
  return exitCodeFor(thrown.code);
}

/** Runs the command that the process was started with, tells what failed, and ends the process. */
export async function runProgram(program: Command): Promise<never> {
  try {
    await program.parseAsync();
  } catch (thrown) {
    process.exitCode = report(thrown);
  }
  // The site's framework leaves handles open that would keep a stopped server alive.
  process.exit();
}
