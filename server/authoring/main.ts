/** The author's command line: `npm run lessons -- <command>`. */
import { join } from 'node:path';
import { Command } from 'commander';
import writeFileAtomic from 'write-file-atomic';
import { LabError } from '../protocol/errors';
import { exitCodeFor } from '../setup/exit-codes';
import { runProgram } from '../setup/command-line';
import { root } from '../root';
import { readCourse, type Course } from './course';
import { formatFinding } from './findings';
import { generatedFiles } from './generated';
import { lintCourse } from './lint';
import { scaffold } from './scaffold';

/** @throws LabError `bad-lesson` naming the lessons that there are */
function requireDraft({ drafts }: Course, id: string): void {
  if (drafts.some((draft) => draft.id === id)) return;
  throw new LabError('bad-lesson', `There is no lesson \`${id}\`.`, {
    hint: `There is: ${drafts.map((draft) => draft.id).join(', ')}.`,
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
    const findings = await lintCourse(course, ids);
    for (const finding of findings) console.log(formatFinding(finding));
    const errors = findings.filter(({ level }) => level === 'error').length;
    const warnings = findings.length - errors;
    const lessons = ids.length === 0 ? course.drafts.length : ids.length;
    console.log(`${count(lessons, 'lesson')}: ${count(errors, 'error')}, ${count(warnings, 'warning')}.`);
    if (errors > 0 || (options.strict && warnings > 0)) process.exitCode = exitCodeFor('bad-lesson');
  });

await runProgram(program);
