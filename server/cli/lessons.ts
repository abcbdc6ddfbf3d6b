/** The author's command line: `npm run lessons -- <command>`. */
import { join } from 'node:path';
import { Command } from 'commander';
import writeFileAtomic from 'write-file-atomic';
import { LabError } from '../protocol/errors';
import { readConfig } from '../config';
import { formatDiagnostic } from '../lessons/diagnostics';
import { listLessons } from '../lessons/load';
import { exitCodeFor } from '../setup/exit-codes.mjs';
import { runProgram, stopSignal } from './program';
import { root } from '../root';
import { readCourse, type Course } from '../authoring/course';
import { serveForAuthors } from '../authoring/dev';
import { generatedFiles } from '../authoring/generated';
import { lintCourse } from '../authoring/lint';
import { scaffold } from '../authoring/scaffold';
import { formatResults, summarize, testLessons } from '../authoring/test-lessons';

/** @throws LabError `bad-lesson` when there is no such lesson */
function requireDraft({ drafts }: Course, id: string): void {
  if (drafts.some((draft) => draft.id === id)) return;
  throw new LabError('bad-lesson', `There is no lesson \`${id}\`.`, {
    hint: `The lessons are: ${drafts.map((draft) => draft.id).join(', ')}.`,
  });
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

const program = new Command('lessons').description('Write, check and record lessons').exitOverride();

program
  .command('new')
  .description('create a lesson: a folder with a valid lesson.mdx, with a TODO for each part to write')
  .argument('<id>', 'name of the folder: lowercase letters, digits and dashes')
  .option('--part <number>', 'part of the course, 1 to 8', '1')
  .option('--title <title>', 'title of the lesson')
  .action(async (id: string, options: { part: string; title?: string }) => {
    const path = await scaffold(await readCourse(root), {
      id,
      part: Number(options.part),
      ...(options.title === undefined ? {} : { title: options.title }),
    });
    console.log(`Created ${path}. Replace each TODO; npm run lessons -- lint lists them.`);
  });

program
  .command('lint')
  .description('list everything that is wrong in the lessons, with file and line')
  .argument('[lesson...]', 'only these lessons')
  .option('--strict', 'treat warnings as errors')
  .option('--fix', 'regenerate the files that come from the schemas and the lessons')
  .action(async (ids: string[], options: { strict?: boolean; fix?: boolean }) => {
    const course = await readCourse(root);
    for (const id of ids) requireDraft(course, id);
    if (options.fix) {
      for (const [path, text] of Object.entries(generatedFiles(course))) {
        await writeFileAtomic(join(root, path), text);
      }
    }
    const diagnostics = await lintCourse(course, ids);
    for (const diagnostic of diagnostics) console.log(formatDiagnostic(diagnostic));
    const errors = diagnostics.filter(({ level }) => level === 'error').length;
    const warnings = diagnostics.length - errors;
    const lessons = ids.length === 0 ? course.drafts.length : ids.length;
    console.log(`${count(lessons, 'lesson')}: ${count(errors, 'error')}, ${count(warnings, 'warning')}.`);
    if (errors > 0 || (options.strict && warnings > 0)) process.exitCode = exitCodeFor('bad-lesson');
  });

program
  .command('dev')
  .description('serve the site with real hosts and reload a lesson in the browser when you save it')
  .argument('[lesson...]', 'lessons that need hosts (default: all)')
  .option('--port <number>', 'port of the site')
  .action(async (ids: string[], { port }: { port?: string }) => {
    const course = await readCourse(root);
    for (const id of ids) requireDraft(course, id);
    const config = readConfig();
    await serveForAuthors(port === undefined ? config : { ...config, port: Number(port) }, ids, stopSignal);
  });

const jobsOption = [
  '--jobs <number>',
  'how many lessons to test at the same time (default: one for each processor)',
] as const;

interface TestFlags {
  jobs?: string;
  keep?: boolean;
  mutate?: boolean;
  json?: string;
}

/** @throws LabError `bad-lesson` when a lesson is unknown or has errors */
async function runTest(
  ids: readonly string[],
  { jobs, json, ...flags }: TestFlags,
  record: boolean,
): Promise<void> {
  const course = await readCourse(root);
  for (const id of ids) requireDraft(course, id);
  // The gateway serves all lessons or none, so all must be good.
  const lessonsDir = join(root, 'lessons');
  const lessons = (await listLessons(lessonsDir)).filter(({ id }) => ids.length === 0 || ids.includes(id));
  const results = await testLessons(readConfig(), lessons, {
    ...flags,
    ...(jobs === undefined ? {} : { jobs: Math.max(1, Number.parseInt(jobs) || 1) }),
    lessonsDir,
    record,
    signal: stopSignal,
  });
  const summary = summarize(results);
  const { passed, failures } = summary;
  console.log(`\n${formatResults(results)}\n\n${passed} passed, ${failures.length} failed`);
  if (json !== undefined) await writeFileAtomic(json, JSON.stringify(summary));
  if (failures.length > 0) process.exitCode = 1;
}

program
  .command('test')
  .description(
    'do lessons on real hosts as a learner would: each check must fail before its step and pass after it',
  )
  .argument('[lesson...]', 'only these lessons')
  .option(...jobsOption)
  .option('--keep', 'keep the hosts of failed lessons until you press Ctrl-C')
  .option('--mutate', 'then leave out each step in turn and fail if no check notices')
  .option('--json <file>', 'write the number of passed steps and the failures as JSON')
  .action((ids: string[], flags: TestFlags) => runTest(ids, flags, false));
program
  .command('record')
  .description('test lessons and save asciicasts and the output of each command in their folders')
  .argument('[lesson...]', 'only these lessons')
  .option(...jobsOption)
  .action((ids: string[], flags: TestFlags) => runTest(ids, flags, true));

await runProgram(program);
