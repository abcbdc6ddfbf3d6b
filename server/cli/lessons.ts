/** The author's command line: `npm run lessons -- <command>`. */
import { join } from 'node:path';
import { Command } from 'commander';
import writeFileAtomic from 'write-file-atomic';
import { LabError } from '../protocol/errors';
import { readConfig } from '../config';
import { formatDiagnostic } from '../lessons/diagnostics';
import { listLessons } from '../lessons/load';
import { exitCodeFor } from './exit-codes';
import { runProgram, stopSignal } from './program';
import { root } from '../root';
import { readCourse, type Course } from '../authoring/course';
import { serveForAuthors } from '../authoring/dev';
import { generatedFiles } from '../authoring/generated';
import { lintCourse } from '../authoring/lint';
import { scaffold } from '../authoring/scaffold';
import { formatResults, summarize, testLessons } from '../authoring/test-lessons';

/** @throws LabError `bad-lesson` naming the lessons that there are */
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
  .description('begin a lesson: a folder with a lesson.mdx that is right but for what is marked TODO')
  .argument('<id>', 'name of the folder: small letters, digits and dashes')
  .option('--part <number>', 'part of the course, 1 to 8', '1')
  .option('--title <title>', 'title of the lesson')
  .action(async (id: string, options: { part: string; title?: string }) => {
    const path = await scaffold(await readCourse(root), {
      id,
      part: Number(options.part),
      ...(options.title === undefined ? {} : { title: options.title }),
    });
    console.log(`${path} is there. What is yours to write is marked TODO; npm run lessons -- lint finds it.`);
  });

program
  .command('lint')
  .description('tell file and line of all that is wrong in the lessons')
  .argument('[lesson...]', 'only these')
  .option('--strict', 'warnings are errors')
  .option('--fix', 'make the files that are made from the schemas and the lessons')
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
  .description('serve the site with real hosts; a lesson is shown anew in the browser when it is saved')
  .argument('[lesson...]', 'whose hosts are wanted; all unless told')
  .option('--port <number>', 'port of the site')
  .action(async (ids: string[], { port }: { port?: string }) => {
    const course = await readCourse(root);
    for (const id of ids) requireDraft(course, id);
    const config = readConfig();
    await serveForAuthors(port === undefined ? config : { ...config, port: Number(port) }, ids, stopSignal);
  });

const jobsOption = [
  '--jobs <number>',
  'lessons at the same time; as many as processors unless told',
] as const;

interface TestFlags {
  jobs?: string;
  keep?: boolean;
  mutate?: boolean;
  json?: string;
}

/** @throws LabError `bad-lesson` when a lesson is unknown or has defects */
async function runTest(
  ids: readonly string[],
  { jobs, json, ...flags }: TestFlags,
  record: boolean,
): Promise<void> {
  const course = await readCourse(root);
  for (const id of ids) requireDraft(course, id);
  // The gateway serves all lessons or none.
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
    'do lessons on real pairs, as a learner would: each check fails before its step and passes after it',
  )
  .argument('[lesson...]', 'only these')
  .option(...jobsOption)
  .option('--keep', 'keep the hosts of a lesson that failed until Ctrl-C')
  .option('--mutate', 'then leave out each step, one after the other, and demand that the checks notice')
  .option('--json <file>', 'write how many passed, and what failed')
  .action((ids: string[], flags: TestFlags) => runTest(ids, flags, false));
program
  .command('record')
  .description(
    'test, and keep what was seen in the lessons’ folders: asciicasts and the output of each command',
  )
  .argument('[lesson...]', 'only these')
  .option(...jobsOption)
  .action((ids: string[], flags: TestFlags) => runTest(ids, flags, true));

await runProgram(program);
