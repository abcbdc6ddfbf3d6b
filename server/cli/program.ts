/** Shared by all command lines: Ctrl-C, and how failures are reported. */
import { CommanderError, type Command } from 'commander';
import { LabError } from '../protocol/errors';
import { exitCodeFor } from '../setup/exit-codes.mjs';

const stopping = new AbortController();
/** Ctrl-C reaches this process twice, a few ms apart: the terminal sends it, and npm forwards it. Within this time both count as one. */
const sameKeyMs = 1000;
let firstSignalAt = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (firstSignalAt === 0) {
      firstSignalAt = Date.now();
      stopping.abort();
    } else if (Date.now() - firstSignalAt > sameKeyMs) {
      console.error('Stopped at once. The next start removes what is left.');
      process.exit(exitCodeFor('cancelled'));
    }
  });
}

/** Aborted by Ctrl-C and SIGTERM. */
export const stopSignal = stopping.signal;

function report(thrown: unknown): number {
  if (thrown instanceof CommanderError) {
    // Commander has already printed its message; 0 means --help.
    return thrown.exitCode === 0 ? 0 : exitCodeFor('bad-config');
  }
  if (!(thrown instanceof LabError) || thrown.code === 'internal') {
    console.error(thrown);
    return exitCodeFor('internal');
  }
  console.error(`\n${thrown.message}`);
  if (thrown.hint !== undefined) console.error(thrown.hint);
  return exitCodeFor(thrown.code);
}

/** Runs the command of this process, reports its failure, and ends the process. */
export async function runProgram(program: Command): Promise<never> {
  try {
    await program.parseAsync();
  } catch (thrown) {
    process.exitCode = report(thrown);
  }
  // Next.js leaves handles open that would keep a stopped server alive.
  process.exit();
}
