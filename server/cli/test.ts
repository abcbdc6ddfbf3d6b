/** `npm test`. */
import { Command } from 'commander';
import { readConfig } from '../config';
import { root } from '../root';
import { runTests } from '../testing/run';
import { runProgram, stopSignal } from './program';

const program = new Command('test')
  .description('Run every check: format, lint, types, unit tests, lessons, pair and browser tests')
  .option('--config <file>', 'configuration file instead of lab.config.json')
  .exitOverride()
  .action(async ({ config }: { config?: string }) => {
    const failed = await runTests(readConfig(config), root, stopSignal);
    process.exitCode = failed > 0 ? 1 : 0;
  });

await runProgram(program);
