import { describe, expect, test } from 'vitest';
import { LabError } from '../protocol/errors';
import type { Lesson } from './lesson';
import { parseLesson } from './parse';

/** As short as possible: the text after it starts in line 7. */
const frontMatter = [
  '---',
  '{ title: A title, summary: A summary., part: 2, order: 1,',
  'minutes: 10,',
  'outcomes: [Do it],',
  'sources: [{ name: A talk, url: "https://example.org/", what: all of it }] }',
  '---',
];
const fence = (words: string, text = 'true'): string[] => [`\`\`\`${words}`, ...text.split('\n'), '```'];
const step = (heading: string): string[] => [
  `## ${heading}`,
  ...fence('bash run host=source'),
  ...fence('bash check host=source'),
];

const parse = (lines: readonly string[]): Lesson =>
  parseLesson(lines.join('\n'), 'lessons/x/lesson.mdx', 'x').lesson;

function errorsOf(lines: readonly string[]): string[] {
  try {
    parse(lines);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(LabError);
    expect(thrown).toMatchObject({ code: 'bad-lesson', hint: expect.any(String) as string });
    return (thrown as LabError).message.split('\n').map((line) => line.replace('lessons/x/lesson.mdx:', ''));
  }
  return [];
}

describe('a good lesson', () => {
  const lesson = parse([
    ...frontMatter,
    'Prose before the first section, with an illustration:',
    ...fence('bash', 'echo one\necho two'),
    '## Nothing to do here',
    '### A heading of a lower level',
    '## Ask `podman`, twice',
    '1. A block may stand in a list:',
    '   ```bash run host=source',
    '   podman ps \\',
    '     --all',
    '   ```',
    ...fence('bash value=address host=source', 'hostname -I\ntrue'),
    ...fence('bash run host=destination', 'curl <address>:8080/ <file >copy'),
    ...fence('text', 'what it prints'),
    ...fence('bash check host=destination', 'first\nsecond\n'),
    '## An exercise',
    ...fence('bash solve host=source', 'a\nb'),
    ...fence('bash check host=source'),
  ]);

  test('has its front matter and its steps in order', () => {
    expect(lesson).toMatchObject({
      id: 'x',
      title: 'A title',
      summary: 'A summary.',
      minutes: 10,
      part: 2,
      order: 1,
    });
    expect(lesson.steps.map(({ id, title, line }) => ({ id, title, line }))).toEqual([
      { id: 'ask-podman-twice', title: 'Ask podman, twice', line: 14 },
      { id: 'an-exercise', title: 'An exercise', line: 35 },
    ]);
  });

  test('has each block with its host, text and line', () => {
    const [first, second] = lesson.steps;
    const plain = { terminal: 1, exit: 0, background: false };
    expect(first?.runs).toEqual([
      { ...plain, host: 'source', text: 'podman ps \\\n  --all', line: 16 },
      { ...plain, host: 'destination', text: 'curl <address>:8080/ <file >copy', line: 24 },
    ]);
    expect(first?.checks).toEqual([{ host: 'destination', text: 'first\nsecond', line: 30 }]);
    expect(first?.solves).toEqual([]);
    expect(second?.solves).toEqual([{ host: 'source', text: 'a\nb', line: 36, terminal: 1 }]);
    expect(lesson.values).toEqual([{ name: 'address', host: 'source', text: 'hostname -I\ntrue', line: 20 }]);
  });
});

test('a lesson can give hosts another CPU, from the allowed models of QEMU', () => {
  const withCpus = (cpus: string): string[] => [
    ...frontMatter.slice(0, -2),
    `sources: [{ name: A talk, url: "https://example.org/", what: all of it }],`,
    `cpus: ${cpus} }`,
    '---',
    ...step('One'),
  ];
  expect(parse([...frontMatter, ...step('One')]).cpus).toEqual({});
  expect(parse(withCpus('{ destination: Nehalem }')).cpus).toEqual({ destination: 'Nehalem' });
  const [model] = errorsOf(withCpus('{ destination: max }'));
  expect(model).toMatch(
    /^6: The front matter’s `cpus.destination` \(CPU of destination\) is wrong: .*Nehalem/,
  );
  const [host] = errorsOf(withCpus('{ rhel08: Nehalem }'));
  expect(host).toMatch(/^6: The front matter’s `cpus` has no field `rhel08`\./);
});

const withStep = [...frontMatter, ...step('One')];
const inSection = (...lines: string[]): string[] => [...withStep, ...lines];

test('files without set-up are written when a learner gets a pair, not in a template', () => {
  const lesson = parse([...frontMatter, ...fence('text file=/root/a host=source', ''), ...step('One')]);
  expect(lesson.setups).toEqual([]);
  expect(lesson.files).toEqual([
    { host: 'source', text: "mkdir -p '/root'\n: >'/root/a'\nchmod 644 '/root/a'", line: 7 },
  ]);
});

test('collects setup blocks from anywhere, and does not count them as steps', () => {
  const lesson = parse([
    ...frontMatter,
    ...fence('bash setup host=source', 'first\nsecond'),
    '## Only prose',
    ...fence('bash setup host=destination', 'third'),
    ...step('One'),
    ...fence('bash setup host=source', 'fourth'),
  ]);
  expect(lesson.steps.map(({ id }) => id)).toEqual(['one']);
  expect(lesson.setups).toEqual([
    { host: 'source', text: 'first\nsecond', line: 7 },
    { host: 'destination', text: 'third', line: 12 },
    { host: 'source', text: 'fourth', line: 22 },
  ]);
});

test('reads every field of every block', () => {
  const lesson = parse([
    ...frontMatter.with(3, 'outcomes: [Do it], builds-on: [other], slides: { 3: one, 4: [one, one] },'),
    '## One',
    ...fence('bash run host=source terminal=2 background'),
    ...fence('bash run host=source exit=1'),
    ...fence('text output', 'a\n…\nb'),
    ...fence('bash run interrupt=5 host=destination'),
    ...fence('bash run host=destination interrupt'),
    '<details>\n<summary>Solution</summary>\n',
    ...fence('bash solve host=source terminal=2'),
    '\n</details>\n',
    ...fence('bash check host=source'),
    ...fence('c file=/root/a/parasite.c host=source', 'int main;\n'),
    ...fence('text file=/usr/local/bin/x host=both executable', 'END_OF_FILE'),
    ...fence('bash setup host=both', 'first'),
    ...fence('quiz', 'question: Why?\nanswer: So.\nexplanation: Because.'),
  ]);
  expect(lesson).toMatchObject({ 'builds-on': ['other'], slides: { 3: 'one', 4: ['one', 'one'] } });
  expect(lesson.steps[0]?.runs).toEqual([
    { host: 'source', text: 'true', line: 8, terminal: 2, exit: 0, background: true },
    {
      ...{ host: 'source', text: 'true', line: 11, terminal: 1, exit: 1, background: false },
      output: { text: 'a\n…\nb', line: 14 },
    },
    { host: 'destination', text: 'true', line: 19, terminal: 1, exit: 0, background: false, interrupt: 5 },
    { host: 'destination', text: 'true', line: 22, terminal: 1, exit: 0, background: false, interrupt: true },
  ]);
  expect(lesson.steps[0]?.solves).toEqual([{ host: 'source', text: 'true', line: 28, terminal: 2 }]);
  const script = ["mkdir -p '/usr/local/bin'", "cat >'/usr/local/bin/x' <<'END_OF_FILE_'", 'END_OF_FILE'];
  const file = [...script, 'END_OF_FILE_', "chmod 755 '/usr/local/bin/x'"].join('\n');
  expect(lesson.setups).toEqual([
    {
      host: 'source',
      text: "mkdir -p '/root/a'\ncat >'/root/a/parasite.c' <<'END_OF_FILE'\nint main;\n\nEND_OF_FILE\nchmod 644 '/root/a/parasite.c'",
      line: 37,
    },
    { host: 'source', text: file, line: 41 },
    { host: 'destination', text: file, line: 41 },
    { host: 'source', text: 'first', line: 44 },
    { host: 'destination', text: 'first', line: 44 },
  ]);
});

describe('the document', () => {
  const lines = [
    ...frontMatter,
    ...fence('text file=/root/a host=both executable', 'a\n'),
    '## Prose',
    ...fence('bash', 'an illustration'),
    ...fence('quiz', 'question: Why?\nanswer: So.\nexplanation: Because.'),
    ...fence('bash setup host=source', 'one'),
    ...step('One'),
    ...fence('bash value=x host=destination', 'two'),
    ...fence('bash run host=source', 'echo <x>'),
    ...fence('text output', 'three'),
    '> ```bash solve host=source',
    '> four',
    '> ```',
  ];
  const { lesson, blocks, sections, prose } = parseLesson(lines.join('\n'), 'f', 'x');
  const [one] = lesson.steps;

  test('has the blocks in file order, as the same objects as in the steps', () => {
    expect(blocks).toEqual([
      { kind: 'file', line: 7, host: 'both', file: { path: '/root/a', text: 'a\n', executable: true } },
      {
        kind: 'quiz',
        line: 15,
        quiz: { question: 'Why?', answer: 'So.', explanation: 'Because.' },
      },
      { kind: 'setup', line: 20, host: 'source', script: 'one' },
      { kind: 'run', line: 24, stepId: 'one', runIndex: 0, run: one?.runs[0] },
      { kind: 'check', line: 27, stepId: 'one', check: one?.checks[0] },
      { kind: 'value', line: 30, stepId: 'one', value: lesson.values[0] },
      { kind: 'run', line: 33, stepId: 'one', runIndex: 1, run: one?.runs[1] },
      { kind: 'output', line: 36 },
      { kind: 'solve', line: 39, stepId: 'one', solve: one?.solves[0] },
    ]);
    expect(one?.solves[0]?.text).toBe('four');
  });

  test('has the sections, and the prose with its lines', () => {
    expect(sections).toEqual([
      { id: 'prose', title: 'Prose', line: 11, isStep: false },
      { id: 'one', title: 'One', line: 23, isStep: true },
    ]);
    expect(prose.split('\n')).toEqual([...frontMatter.map(() => ''), ...lines.slice(frontMatter.length)]);
  });
});

describe('each error names its line and a fix', () => {
  // `withStep` has 13 lines, so what a case adds starts in line 14.
  const kinds = 'run or check or solve or setup or output or value=<name> or file=<path>';
  const cases: [name: string, lines: string[], told: string[]][] = [
    [
      'unknown host',
      inSection(...fence('bash run host=sorce')),
      ['14: There is no host `sorce`. Did you mean `source`?'],
    ],
    [
      'unknown host without a similar name',
      inSection(...fence('bash run host=rhel08')),
      ['14: There is no host `rhel08`. Choose from: source, destination.'],
    ],
    ...['run', 'check', 'solve', 'setup', 'value=x'].map((kind): [string, string[], string[]] => [
      `${kind} block without a host`,
      inSection(...fence(`bash ${kind}`)),
      [
        `14: A ${kind.split('=')[0] ?? ''} block needs a host. Add host=source or host=destination${kind === 'setup' ? ' or host=both' : ''}.`,
      ],
    ]),
    [
      'host without a kind',
      inSection(...fence('bash host=source')),
      [`14: A fence with \`host=source\` also needs a kind. Add ${kinds}.`],
    ],
    [
      'two kinds',
      inSection(...fence('bash run check host=source')),
      ['14: A block has one kind, not run and check. Split it.'],
    ],
    [
      'two hosts',
      inSection(...fence('bash run host=source host=destination')),
      ['14: A block runs on one host, not on source and destination. Split it.'],
    ],
    [
      'misspelt word',
      inSection(...fence('bash chek host=source')),
      [
        '14: A fence does not accept `chek`. Did you mean `check`?',
        `14: A fence with \`host=source\` also needs a kind. Add ${kinds}.`,
      ],
    ],
    [
      'unknown word without a similar one',
      inSection(...fence('bash run host=source highlight={2}')),
      [
        '14: A run block does not accept `highlight={2}`. Choose from: run, check, solve, setup, output, value=<name>, file=<path>, host, terminal, exit, background, interrupt.',
      ],
    ],
    [
      'missing language',
      inSection(...fence('run host=source')),
      ['14: The fence has no language before `run`. Write ```bash run …'],
    ],
    [
      'another language',
      inSection(...fence('python run host=source')),
      [
        "14: A block's language is `bash`, not `python`. For an illustration, remove the words after the language.",
      ],
    ],
    [
      'duplicate step id',
      inSection(...step('One')),
      ['14: The heading in line 7 has the same id `one`. Rename one of them.'],
    ],
    [
      'duplicate value',
      inSection(
        ...fence('bash value=x host=source'),
        ...fence('bash value=x host=source'),
        ...fence('bash run host=source', 'echo <x>'),
      ),
      ['17: The value `x` is already declared in line 14. Rename or remove one of them.'],
    ],
    [
      'value that is never used',
      inSection(...fence('bash value=x host=source')),
      ['14: No run block uses `<x>`. Use the value or remove it.'],
    ],
    ...['value', 'value=', 'value=Address', 'value=a.b'].map((word): [string, string[], string[]] => [
      `bad value name: ${word}`,
      inSection(...fence(`bash ${word} host=source`)),
      [
        word === 'value'
          ? '14: `value` (Name that run blocks use as `<name>`) is wrong: it must be a name.'
          : `14: \`${word}\` (Name that run blocks use as \`<name>\`) is wrong: use lowercase letters, digits and dashes, beginning with a letter.`,
      ],
    ]),
    [
      'block before the first section',
      [...frontMatter, ...fence('bash check host=source'), ...step('One')],
      ['7: A check block must not stand before the first `##`. Move it into a section.'],
    ],
    [
      'run without a check',
      inSection('## Two', ...fence('bash run host=source')),
      ['14: The step `Two` has no check. Add a check block that fails before the step and passes after it.'],
    ],
    [
      'check without run or solve',
      inSection('## Two', ...fence('bash check host=source')),
      ['14: The step `Two` has a check but nothing that makes it pass. Add a run or a solve block.'],
    ],
    [
      'empty block',
      inSection(...fence('bash check host=source', '  ')),
      ['14: A check block is empty. Fill it or remove it.'],
    ],
    ...['echo one\necho two', 'echo one \\', 'echo \\\n\necho'].map((text): [string, string[], string[]] => [
      `run block of more or less than one command: ${JSON.stringify(text)}`,
      inSection(...fence('bash run host=source', text)),
      [
        '14: A run block holds one command: every line but the last ends in a backslash. Give each command its own block.',
      ],
    ]),
    [
      'no steps',
      [...frontMatter, '## Prose'],
      ['1: The lesson has no step: no `##` section holds a run or a solve block with a check.'],
    ],
    [
      'no front matter',
      step('One'),
      [
        '1: The front matter is missing. Start with ---, title, summary, minutes, part, order, outcomes, builds-on, sources, slides, cpus, ---.',
      ],
    ],
    [
      'empty front matter',
      ['---', '---', ...step('One')],
      [
        '1: The front matter lacks `title` (Title of the lesson). Add it.',
        '1: The front matter lacks `summary` (One or two sentences for the list of lessons). Add it.',
        '1: The front matter lacks `minutes` (Minutes that a learner needs). Add it.',
        '1: The front matter lacks `part` (Part of the course: 1 Orientation, 2 Checkpoint, 3 Restore, 4 SELinux, 5 Integrations, 6 The demo, 7 Beyond the talk, 8 Clinic). Add it.',
        '1: The front matter lacks `order` (Position in its part, starting at 1). Add it.',
        '1: The front matter lacks `outcomes` (What a learner will be able to do, each beginning with a verb). Add it.',
        '1: The front matter lacks `sources` (Sources of the lesson’s claims). Add it.',
      ],
    ],
    [
      'extra and missing fields',
      [...frontMatter.with(1, '{ titel: x, summary: x, part: 1, order: 1,'), ...step('One')],
      [
        '1: The front matter lacks `title` (Title of the lesson). Add it.',
        '2: The front matter has no field `titel`. Did you mean `title`?',
      ],
    ],
    [
      'field of the wrong type',
      [...frontMatter.with(2, 'minutes: long,'), ...step('One')],
      [
        '3: The front matter’s `minutes` (Minutes that a learner needs) is wrong: Invalid input: expected number, received string.',
      ],
    ],
    [
      'errors within a list',
      [
        ...frontMatter.with(
          4,
          'sources: [{ what: x },\n{ name: A, url: no, what: x },\n{ name: A, file: f, what: x, who: me },\n{ name: A, what: x }] }',
        ),
        ...step('One'),
      ],
      [
        '5: The front matter’s `sources[0]` lacks `name` (Name of the source: a program with its version, an article, a talk). Add it.',
        '6: The front matter’s `sources[1].url` (Address of the source) is wrong: it must be an http or https address.',
        '7: The front matter’s `sources[2]` has no field `who`. Did you mean `what`?',
        '8: The front matter’s `sources[3]` (A source of the lesson’s claims) is wrong: it needs a `url` or a `file`.',
      ],
    ],
    [
      'slides without a step',
      [
        ...frontMatter.with(3, 'outcomes: [Do it],\nslides: { 3: one,\n4: [one, tow],\nfive: one,\n6: [] },'),
        ...step('One'),
      ],
      [
        '7: The front matter’s `slides.five` is wrong: the key must be the number of a slide.',
        '8: The front matter’s `slides.6` is wrong: Too small: expected array to have >=1 items.',
      ],
    ],
    [
      'slides with unknown steps',
      [...frontMatter.with(3, 'outcomes: [Do it],\nslides: { 3: one,\n4: [one, tow] },'), ...step('One')],
      ['6: Slide 4 names the step `tow`, which the lesson does not have. Choose from: one.'],
    ],
    [
      'front matter that is a list',
      ['---', '- title', '---', ...step('One')],
      [
        '1: The front matter must have the fields title, summary, minutes, part, order, outcomes, builds-on, sources, slides, cpus.',
      ],
    ],
    [
      'a field of another kind',
      inSection(...fence('bash check host=source terminal=2')),
      ['14: A check block does not accept `terminal=2`. Its fields are: host.'],
    ],
    [
      'fields that exclude each other',
      inSection(...fence('bash run host=source interrupt background')),
      [
        '14: The fields of this run block contradict each other: use only one of background, interrupt and exit, because a command that is interrupted or left running has no exit code to expect.',
      ],
    ],
    [
      'fields with invalid values',
      inSection(
        ...fence('bash run host=source terminal=3'),
        ...fence('bash run host=source exit=256'),
        ...fence('bash run host=source interrupt=soon'),
        ...fence('bash run host=source background=1'),
        ...fence('bash run host=source exit'),
        ...fence('bash run host=source exit=1 exit=2'),
      ),
      [
        '14: `terminal=3` (Terminal of the host) is wrong: a host has terminal 1 and terminal 2.',
        '17: `exit=256` (Expected exit code, for a command that is meant to fail) is wrong: Too big: expected number to be <=255.',
        '20: `interrupt=soon` (The learner ends the command with Ctrl-C when the step is done, or after this number of seconds. The lesson test does the same) is wrong: write interrupt, or interrupt=<seconds> up to 600.',
        '23: `background=1` (The command keeps running during the blocks and steps that follow. It ends by itself or not at all) is wrong: it takes no value.',
        '26: `exit` (Expected exit code, for a command that is meant to fail) is wrong: Invalid input: expected number, received boolean.',
        '29: `exit` appears twice. Remove one of them.',
      ],
    ],
    ...['file', 'file=etc/motd', 'file=/root/', 'file=/a$b'].map((word): [string, string[], string[]] => [
      `bad path: ${word}`,
      inSection(...fence(`text ${word} host=source`)),
      [
        `14: \`${word}\` (Absolute path of the file) is wrong: ${word === 'file' ? 'it must be a path' : 'write an absolute path without spaces'}.`,
      ],
    ]),
    [
      'a command in an occupied terminal',
      inSection(
        '## Two',
        ...fence('bash run host=source interrupt'),
        ...fence('bash run host=source terminal=2'),
        ...fence('bash run host=source'),
        ...fence('bash check host=source'),
      ),
      [
        '21: The command in line 15 occupies this terminal until the step is done. Write interrupt=<seconds> there, or use terminal=2 here.',
      ],
    ],
    [
      'output without a run block',
      inSection(
        '## Two',
        ...fence('text output'),
        ...fence('bash run host=source'),
        ...fence('text output'),
        ...fence('text output'),
        ...fence('bash check host=source'),
        '## Prose',
        ...fence('text output'),
      ),
      [15, 24, 31].map(
        (line) => `${line}: Each output block follows a run block of its own. Move it there or remove it.`,
      ),
    ],
    [
      'output in another language',
      inSection(
        '## Two',
        ...fence('bash run host=source'),
        ...fence('bash output'),
        ...fence('bash check host=source'),
      ),
      ['18: The language of an output block is `text`, not `bash`.'],
    ],
    [
      'invalid question',
      inSection(
        ...fence('quiz', 'question: Why?'),
        ...fence(
          'quiz',
          'question: Why?\noptions:\n  - text: So\n    explanation: x\n  - text: So\n    correct: yes',
        ),
        ...fence('quiz', 'question: Why?\nanswer: So\nanswers: No'),
        ...fence('quiz', 'question: ['),
      ),
      [
        '14: The question is wrong: it needs either `options` or an `answer`.',
        '22: The question’s `options[1]` lacks `explanation` (Why the answer is right or wrong, in Markdown). Add it.',
        '23: The question’s `options[1].correct` (Whether the answer is right. Several answers may be right) is wrong: Invalid input: expected boolean, received string.',
        '25: The question is wrong: it needs an `explanation`.',
        '28: The question has no field `answers`. Did you mean `answer`?',
        '31: The question is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ].',
      ],
    ],
    [
      'question without a right option',
      inSection(
        ...fence(
          'quiz',
          'question: Why?\noptions:\n- { text: a, explanation: a }\n- { text: b, explanation: b }',
        ),
      ),
      [
        '16: The question’s `options` (Answers to choose from, two to six) is wrong: no option is `correct: true`.',
      ],
    ],
  ];
  test.each(cases)('%s', (_name, lines, told) => {
    expect(errorsOf(lines)).toEqual(told);
  });

  test.each([
    ['unclosed expression', inSection('Look at {{this'), 14],
    ['unclosed tag', inSection('Type <name> here', 'and more'), 14],
    ['import that is not JavaScript', inSection('', 'import x from'), 15],
  ])('broken MDX: %s', (_name, lines, line) => {
    const errors = errorsOf(lines);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(
      new RegExp(`^${line}: The MDX has a syntax error at column \\d+: .*code span\\.$`),
    );
  });

  test('broken YAML', () => {
    const errors = errorsOf(['---', 'title: x', 'summary: "x', 'minutes: 1', '---', ...step('One')]);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(/^[345]: The front matter is not valid YAML: .+\.$/);
  });

  test('all errors at once, in line order', () => {
    const errors = errorsOf([
      ...frontMatter.filter((line) => !line.startsWith('minutes')),
      '## One',
      ...fence('bash run host=nowhere'),
      ...fence('bash check'),
      '## Two',
      ...fence('bash run host=source', ''),
    ]);
    expect(errors.map((error) => error.replace(/:.*/, ''))).toEqual(['1', '7', '10', '13', '14']);
  });
});
