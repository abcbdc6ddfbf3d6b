/** `npm run bench:pairs` and `npm run bench:terminal`. */
import { Command, Option } from 'commander';
import { benchPairs } from '../bench/pairs';
import { benchTerminal, serveForBench, terminalBenchParts } from '../bench/terminal';
import { runProgram } from './program';

const program = new Command('bench').description('Measure on this machine').exitOverride();
program
  .command('pairs')
  .description('time from click to prompts, and memory of pairs')
  .option('--rounds <number>', 'samples of each time', '20')
  .option('--pairs <number>', 'number of idle pairs at once', '20')
  .option('--sustain <seconds>', 'how long to start one pair after the other', '120')
  .action(async (options: { rounds: string; pairs: string; sustain: string }) => {
    await benchPairs({
      rounds: Number(options.rounds),
      pairs: Number(options.pairs),
      sustainMs: Number(options.sustain) * 1000,
    });
  });
program
  .command('terminal')
  .description(
    'keystrokes, throughput, reconnects and memory of terminals, compared with the plain attach command and wetty',
  )
  .option('--quick', 'only a few samples, to check that the benchmark works')
  .option('--no-wetty', 'do not install wetty')
  .addOption(new Option('--only <part...>', 'measure only these').choices(terminalBenchParts))
  .action(
    async (options: { quick?: boolean; wetty: boolean; only?: (typeof terminalBenchParts)[number][] }) => {
      await benchTerminal({ ...options, quick: options.quick ?? false });
    },
  );
program
  .command('serve', { hidden: true })
  .option('--without-pair')
  .action(async (options: { withoutPair?: boolean }) => {
    await serveForBench(options.withoutPair ?? false);
  });

await runProgram(program);
