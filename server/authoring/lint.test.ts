import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { formatDiagnostic } from '../lessons/diagnostics';
import { root as checkout } from '../root';
import { readCourse, type Course } from './course';
import { examples, generatedFiles, lintGenerated } from './generated';
import { lintCourse } from './lint';
import { Recorder } from './record';
import { firstDraft, scaffold } from './scaffold';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'course-'));
  await mkdir(join(root, 'lessons'));
  await mkdir(join(root, 'docs'));
  await mkdir(join(root, 'docker'));
  await writeFile(join(root, 'lessons/terms.yml'), 'check-point: checkpoint\npodman: Podman\ncriu: CRIU\n');
  await writeFile(
    join(root, 'lessons/talk.yml'),
    '1: { title: The talk, no-step: a title }\n2: { title: Parasite code }\n3: { title: The jump }\n',
  );
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

const fence = (words: string, text = 'true'): string[] => [`\`\`\`${words}`, ...text.split('\n'), '```'];
const check = fence(
  'bash check host=source',
  "test -e /x || { echo 'There is no /x.'; exit 1; }\necho 'It is there.'",
);
const run = fence('bash run host=source');
const quiz = fence('quiz', 'question: Why?\nanswer: So.\nexplanation: Because.');
const questions = [...quiz, '', ...quiz];

/** The front matter is 8 lines, so what follows begins in line 9. */
async function write(
  id: string,
  body: readonly string[],
  fields: Record<string, string> = {},
): Promise<void> {
  const { title = 'A title', place = 'part: 1, order: 1', ...more } = fields;
  const lines = [
    `{ title: ${title}, summary: A summary.,`,
    `minutes: 1, ${place},`,
    'outcomes: [Do it],',
    'sources: [{ name: A talk, file: f, what: all of it }],',
    Object.entries(more)
      .map(([name, value]) => `${name}: ${value},`)
      .join(' '),
    '}',
  ];
  await mkdir(join(root, 'lessons', id), { recursive: true });
  await writeFile(
    join(root, 'lessons', id, 'lesson.mdx'),
    ['---', ...lines, '---', ...body, '', ...questions, ''].join('\n'),
  );
}

/** Diagnostics as an author sees them, without the path of the lesson `x`. */
async function lint(...only: string[]): Promise<string[]> {
  const course = await readCourse(root);
  return (await lintCourse(course, only))
    .map((diagnostic) => formatDiagnostic(diagnostic).replace('lessons/x/lesson.mdx:', ''))
    .filter((text) => !text.includes('No recorded test has run'));
}

const step = ['## One', '', ...run, '', ...check];

test('finds nothing in a good lesson', async () => {
  await write(
    'x',
    [
      'A talk on `criu` and CRIU, see [the other](../other/lesson.mdx#one), [here](#one) or <https://criu.org/Podman>.',
      '',
    ]
      .map((line) => line.replace('<https://criu.org/Podman>', 'https://criu.org/Podman'))
      .concat([
        '> [!NOTE]',
        '> The **Podman** of `podman`.',
        '',
        '| A | B |',
        '| - | - |',
        '| 1 | 2 |',
        '',
        ...step,
        '',
        '<details>',
        '<summary>Hint</summary>',
        '',
        'Look at it. {/* A comment. */}',
        '',
        '</details>',
        '',
        '![Two boxes and an arrow between them](figure.svg)',
      ]),
  );
  await writeFile(join(root, 'lessons/x/figure.svg'), figure);
  await write('other', step, { place: 'part: 2, order: 1', 'builds-on': '[x]', slides: '{ 2: one }' });
  expect(await lint('x', 'other')).toEqual([]);
});

const figure = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">
  <style>@media (prefers-color-scheme: dark) { svg { color: white } }</style>
</svg>
`;

test('tells where links lead nowhere', async () => {
  await write('x', [
    '[a](../other/lesson.mdx) [b](../x/lesson.mdx#two) [c](#tow) [d](/lessons/x)',
    '[e](../../docs/x.md) [f](mailto:a@b) [g](http://a:b) [h][i]',
    '',
    '[i]: https://[',
    '',
    ...step,
    '## Two',
  ]);
  expect(await lint('x')).toEqual([
    '9: error: There is no lesson `other`. Choose from: x.',
    '9: error: There is no heading of level 2 with the id `tow` in lessons/x/lesson.mdx. Did you mean `two`?',
    '9: error: `/lessons/x` does not work on a code host. Link to a lesson as ../<id>/lesson.mdx.',
    '10: error: `../../docs/x.md` does not work on the page. Link to a lesson as ../<id>/lesson.mdx, or to a web address.',
    '10: error: `mailto:a@b` is not an http or https address.',
    '10: error: `http://a:b` is not an address.',
    '12: error: `https://[` is not an address.',
  ]);
});

test('tells of figures that not everyone sees', async () => {
  await write('x', [
    '![](a.svg) ![a.svg](a.svg) ![A box with a lid](b.png) ![A box with a lid](c.svg)',
    '',
    ...step,
  ]);
  await writeFile(
    join(root, 'lessons/x/a.svg'),
    '\n<svg>\n<script/><a href="https://x"/>\n<use href="#a"/></svg>',
  );
  await writeFile(join(root, 'lessons/x/d.svg'), figure);
  expect(await lint('x')).toEqual([
    'lessons/x/a.svg:2: error: The <svg> element lacks a viewBox, so it cannot be scaled.',
    'lessons/x/a.svg:2: error: Add xmlns="http://www.w3.org/2000/svg". Without it, browsers do not draw the file.',
    'lessons/x/a.svg:2: error: The figure has no colours for dark pages. Add a <style> with @media (prefers-color-scheme: dark).',
    'lessons/x/a.svg:3: error: Remove `<script`: a figure must not load or run anything.',
    'lessons/x/a.svg:3: error: Remove `href="`: a figure must not load or run anything.',
    'lessons/x/d.svg:1: error: The lesson does not show this figure. Show it or remove it.',
    '9: error: The figure `a.svg` has no alternative text. Describe in the brackets what it shows.',
    '9: error: “a.svg” does not say what the figure `a.svg` shows. Describe what a reader would see.',
    '9: error: `b.png` is not a figure. Use an SVG file in the lesson’s folder, named with letters, digits and dashes.',
    '9: error: There is no file lessons/x/c.svg.',
  ]);
});

test('tells of what is no plain Markdown, and of text that is not right', async () => {
  await write(
    'x',
    [
      'import x from "x"',
      '',
      'The podman of the the Check-Point, an talk, `podman`, and [a][nothing]. TODO: more.',
      '',
      '<Player>{1 + 1}</Player>',
      '',
      '<details>',
      '',
      'So.',
      '',
      '</details>',
      '',
      '# Title',
      '',
      ...step,
      '',
      '#### Too deep',
    ],
    { title: 'On criu' },
  );
  expect(await lint('x')).toEqual([
    '2: error: Write “CRIU”, not “criu”.',
    '9: error: A lesson is plain Markdown, without imports and exports.',
    '11: error: Write “checkpoint”, not “Check-Point”.',
    '11: error: Write “Podman”, not “podman”.',
    '11: error: Unexpected reference to undefined definition, expected corresponding definition (`nothing`) for a link or escaped opening bracket (`\\[`) for regular text.',
    '11: error: Unexpected repeated `the`, remove one occurrence.',
    '11: error: Unexpected article `an` before `talk`, expected `a`.',
    '11: warning: A TODO is left here.',
    '13: error: A lesson must not contain `<Player>`. Choose from: details, summary, kbd, sub, sup, br.',
    '13: error: A lesson is plain Markdown, without expressions. Put a literal `{` in a code span.',
    '15: error: These <details> have no summary. Begin with <summary>Hint</summary>, or with what they contain.',
    '21: error: Begin headings at level 2: the title is in the front matter.',
    '34: error: Unexpected heading rank `4`, exected rank `3`.',
  ]);
});

test('tells of checks that say nothing, and of shell that is none', async () => {
  const silent = [
    '[ -e /x ]',
    "[ -e /x ] || exit 1\necho 'x'",
    "set -e\n[ -e /x ]\necho 'x'",
    "echo 'looking'\n[ -e /x ]",
    "[ -e /x ] || { echo 'no'; exit 1; }\nif true; then\n  echo 'no'\n  exit 1\nfi\necho 'x'",
    'echo x\nfi',
  ];
  await write('x', ['## One', ...run, ...silent.flatMap((text) => fence('bash check host=source', text))]);
  const add = 'Add: || { echo "What to do."; exit 1; }';
  expect(await lint('x')).toEqual([
    `14: error: The check never says what is missing. ${add}`,
    '17: error: The check fails here without a message. Before `exit`, print what is missing.',
    '21: error: With `set -e`, a check ends at any failure without a message. Print what is missing where it fails.',
    `27: error: The check ends with a test, so it fails without a message. ${add}`,
    "39: error: bash cannot parse this: syntax error near unexpected token `fi'.",
  ]);
});

test('wants solutions out of sight, and hints in the clinic', async () => {
  await write('x', ['## One', ...fence('bash solve host=source'), ...check, '## Two', ...run, ...check], {
    place: 'part: 8, order: 1',
  });
  expect(await lint('x')).toEqual([
    '9: error: “One” has no <details><summary>Hint</summary>. Each step of a clinic lesson needs at least one hint.',
    '10: error: The solution is visible to everyone. Put it in <details><summary>Solution</summary>.',
    '17: error: “Two” has no <details><summary>Hint</summary>. Each step of a clinic lesson needs at least one hint.',
    '17: error: “Two” has no solve block. Each step of a clinic lesson needs one in its solution.',
  ]);
});

test('knows the course as a whole', async () => {
  await write('x', step, { 'builds-on': '[later, x, nobody]', slides: '{ 1: one, 2: one, 9: one }' });
  await write('later', step, { place: 'part: 1, order: 2' });
  await write('same', step, { place: 'part: 1, order: 2' });
  const found = await lint();
  expect(found.filter((text) => !text.includes('out of date'))).toEqual([
    'lessons/same/lesson.mdx:3: error: lessons/later/lesson.mdx is already number 2 of part 1.',
    'lessons/talk.yml:1: warning: No lesson covers these slides: 3.',
    '6: error: lessons/talk.yml says that slide 1, “The talk”, has nothing to do by hand. Correct one of them.',
    '6: error: The talk has no slide 9. lessons/talk.yml lists its slides.',
    '6: error: `later` comes after this lesson. Change the order of the course, or do not build on it.',
    '6: error: A lesson cannot build on itself.',
    '6: error: There is no lesson `nobody`. Choose from: later, same, x.',
  ]);
});

test('tells what no test has run', async () => {
  await write('x', step);
  const warnings = async (): Promise<string[]> =>
    (await lintCourse(await readCourse(root), ['x'])).map(formatDiagnostic);
  expect(await warnings()).toEqual([
    'lessons/x/lesson.mdx:1: warning: No recorded test has run this lesson. Record it: npm run lessons -- record x',
  ]);
  const record = async (image: string): Promise<void> => {
    const { lessons } = await readCourse(root);
    const [lesson] = lessons;
    if (!lesson) throw new Error('The lesson has errors.');
    const recorder = new Recorder(lesson);
    const run = { exitCode: 0, ms: 1, output: '' };
    for (const one of lesson.steps) recorder.endStep(one, { ms: 1, runs: [run], before: 'no', after: 'yes' });
    await recorder.write(join(root, 'lessons/x'), image, 'tcg');
  };
  await record((await readCourse(root)).image);
  expect(await warnings()).toEqual([]);
  // Other prose is no other lesson.
  await write('x', ['Prose.', '', ...step]);
  expect(await warnings()).toEqual([]);

  await write('x', ['## One', '', ...run, '', ...fence('bash run host=source', 'false'), '', ...check]);
  expect(await warnings()).toEqual([
    expect.stringContaining(
      'x/lesson.mdx:15: warning: No recorded test has run this command as it is now.',
    ) as string,
  ]);
  await write('x', [...step, '', ...check]);
  expect(await warnings()).toEqual([expect.stringContaining(':1: warning: Set-up, checks or solutions')]);
  await write('x', step);
  await record('other');
  expect(await warnings()).toEqual([expect.stringContaining('was made on another host image')]);
  await writeFile(join(root, 'lessons/x/recordings/manifest.json'), '{}');
  expect((await warnings())[0]).toContain('This is not a recording');
});

test('asks for questions, and passes on what the parser finds', async () => {
  await mkdir(join(root, 'lessons/empty'));
  await mkdir(join(root, 'lessons/x'));
  await writeFile(join(root, 'lessons/x/lesson.mdx'), '## One\n');
  const found = await lint('x', 'empty');
  expect(found).toEqual([
    'lessons/empty/lesson.mdx:1: error: The file is missing. Each folder in lessons/ holds a lesson.mdx.',
    expect.stringMatching(/^1: error: The front matter is missing/),
    expect.stringMatching(/^1: error: The lesson has no step/),
    '1: warning: The lesson asks 0 questions. Two or three quiz blocks let learners see what they have understood.',
  ]);
});

test.each([1, 8])('begins a lesson of part %i that is right but for what is marked TODO', async (part) => {
  await scaffold(await readCourse(root), { id: 'first-one', part });
  const path = await scaffold(await readCourse(root), { id: 'x', part, title: 'On: {this}' });
  expect(path).toBe('lessons/x/lesson.mdx');
  const course: Course = await readCourse(root);
  expect(course.lessons.map(({ title, order }) => [title, order])).toEqual([
    ['First one', 1],
    ['On: {this}', 2],
  ]);
  const found = await lint('x');
  const todos = firstDraft({ id: 'x', part }, 1).match(/TODO/g)?.length ?? 0;
  expect(found.length).toBeGreaterThan(9);
  expect(found.length).toBeLessThanOrEqual(todos);
  expect(found.filter((text) => !text.endsWith('warning: A TODO is left here.'))).toEqual([]);
});

test.each([
  ['X', 1, 'cannot be'],
  ['first', 1, 'already'],
  ['x', 9, 'no part 9'],
])('refuses to begin %s in part %i', async (id, part, told) => {
  await scaffold(await readCourse(root), { id: 'first', part: 1 });
  await expect(scaffold(await readCourse(root), { id, part })).rejects.toMatchObject({
    code: 'bad-lesson',
    message: expect.stringContaining(told) as string,
  });
});

test('has examples in the reference that a lesson may hold', async () => {
  const { quiz: example, run: runs, ...blocks } = examples;
  await write(
    'x',
    [
      '## One',
      runs,
      examples.output,
      ...Object.values(blocks).filter((text) => text !== examples.output),
      '',
      fence('bash run host=source', 'echo <address>').join('\n'),
      example,
    ]
      .join('\n\n')
      .split('\n'),
  );
  expect(await lint('x')).toEqual([]);
});

test('finds the files that are made from schemas and lessons current in this checkout', async () => {
  expect(await lintGenerated(await readCourse(checkout))).toEqual([]);
});

test('tells when one of them is not', async () => {
  await write('x', step, { slides: '{ 2: one }' });
  const course = await readCourse(root);
  expect((await lintGenerated(course)).map(({ file }) => file)).toEqual(Object.keys(generatedFiles(course)));
  for (const [path, text] of Object.entries(generatedFiles(course))) await writeFile(join(root, path), text);
  expect(await lintGenerated(course)).toEqual([]);
  const { 'docs/slides.md': table = '' } = generatedFiles(course);
  expect(table).toContain('| 1 | The talk | _a title_ |');
  expect(table).toContain('| 2 | Parasite code | [A title: One](../lessons/x/lesson.mdx#one) |');
  expect(table).toContain('| 3 | The jump | **nowhere yet** |');
  const schema = JSON.parse(generatedFiles(course)['lessons/schema.json'] ?? '') as {
    properties: Record<string, { description: string }>;
    $defs: object;
  };
  expect(schema.properties['minutes']?.description).toBe('Minutes that a learner needs');
  expect(Object.keys(schema.$defs)).toContain('block-run');
});
