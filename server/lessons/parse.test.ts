import { describe, expect, it } from 'vitest';
import { LabError } from '../protocol/errors';
import { parseLesson } from './parse';

const frontMatter = ['---', 'title: A title', 'summary: A summary.', 'minutes: 10', 'order: 1', '---'];
const fence = (words: string, text = 'true'): string[] => [`\`\`\`${words}`, ...text.split('\n'), '```'];
const step = (heading: string): string[] => [
  `## ${heading}`,
  ...fence('bash run host=source'),
  ...fence('bash check host=source'),
];

function defectsOf(lines: readonly string[]): string[] {
  try {
    parseLesson(lines.join('\n'), 'lessons/x/lesson.mdx', 'x');
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(LabError);
    expect(thrown).toMatchObject({ code: 'bad-lesson', hint: expect.any(String) as string });
    return (thrown as LabError).message.split('\n').map((line) => line.replace('lessons/x/lesson.mdx:', ''));
  }
  return [];
}

describe('a good lesson', () => {
  const lesson = parseLesson(
    [
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
    ].join('\n'),
    'lessons/x/lesson.mdx',
    'x',
  );

  it('gives its front matter and its steps in order', () => {
    expect(lesson).toMatchObject({ id: 'x', title: 'A title', summary: 'A summary.', minutes: 10, order: 1 });
    expect(lesson.steps.map(({ id, title, line }) => ({ id, title, line }))).toEqual([
      { id: 'ask-podman-twice', title: 'Ask podman, twice', line: 14 },
      { id: 'an-exercise', title: 'An exercise', line: 35 },
    ]);
  });

  it('gives each block its host, text and line', () => {
    const [first, second] = lesson.steps;
    expect(first?.runs).toEqual([
      { host: 'source', text: 'podman ps \\\n  --all', line: 16 },
      { host: 'destination', text: 'curl <address>:8080/ <file >copy', line: 24 },
    ]);
    expect(first?.checks).toEqual([{ host: 'destination', text: 'first\nsecond', line: 30 }]);
    expect(first?.solves).toEqual([]);
    expect(second?.solves).toEqual([{ host: 'source', text: 'a\nb', line: 36 }]);
    expect(lesson.values).toEqual([{ name: 'address', host: 'source', text: 'hostname -I\ntrue', line: 20 }]);
  });
});

const withStep = [...frontMatter, ...step('One')];
const inSection = (...lines: string[]): string[] => [...withStep, ...lines];

it('collects setup blocks from anywhere, and makes no step of them', () => {
  const lesson = parseLesson(
    [
      ...frontMatter,
      ...fence('bash setup host=source', 'first\nsecond'),
      '## Only prose',
      ...fence('bash setup host=destination', 'third'),
      ...step('One'),
      ...fence('bash setup host=source', 'fourth'),
    ].join('\n'),
    'lessons/x/lesson.mdx',
    'x',
  );
  expect(lesson.steps.map(({ id }) => id)).toEqual(['one']);
  expect(lesson.setups).toEqual([
    { host: 'source', text: 'first\nsecond', line: 7 },
    { host: 'destination', text: 'third', line: 12 },
    { host: 'source', text: 'fourth', line: 22 },
  ]);
});

describe('each defect is told with its line and the way out', () => {
  // `withStep` has 13 lines, so what a case adds starts in line 14.
  const cases: [name: string, lines: string[], told: string[]][] = [
    [
      'unknown host',
      inSection(...fence('bash run host=sorce')),
      ['14: There is no host `sorce`. Did you mean `source`?'],
    ],
    [
      'host that is like no other',
      inSection(...fence('bash run host=rhel08')),
      ['14: There is no host `rhel08`. Known are: source, destination.'],
    ],
    ...['run', 'check', 'solve', 'setup', 'value=x'].map((kind): [string, string[], string[]] => [
      `${kind} block without a host`,
      inSection(...fence(`bash ${kind}`)),
      [`14: A ${kind.split('=')[0] ?? ''} block needs a host. Add host=source or host=destination.`],
    ]),
    [
      'host without a kind',
      inSection(...fence('bash host=source')),
      ['14: A fence with a host needs a kind as well. Add run, check, solve, setup or value=<name>.'],
    ],
    [
      'two kinds',
      inSection(...fence('bash run check host=source')),
      ['14: A block is of one kind, not of run and check. Split it.'],
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
        '14: `chek` says nothing to a fence. Did you mean `check`?',
        '14: A fence with a host needs a kind as well. Add run, check, solve, setup or value=<name>.',
      ],
    ],
    [
      'word that is like no other',
      inSection(...fence('bash run host=source highlight={2}')),
      [
        '14: `highlight={2}` says nothing to a fence. Known are: run, check, solve, setup, value=<name>, host=<host>.',
      ],
    ],
    [
      'missing language',
      inSection(...fence('run host=source')),
      ["14: A block's language is missing before `run`. Write ```bash run …"],
    ],
    [
      'another language',
      inSection(...fence('python run host=source')),
      ["14: A block's language is `bash`, not `python`. An illustration has no words after it."],
    ],
    [
      'duplicate step id',
      inSection(...step('One')),
      ['14: Two headings give the id `one`: lines 7 and this one. Rename one of them.'],
    ],
    [
      'duplicate value',
      inSection(
        ...fence('bash value=x host=source'),
        ...fence('bash value=x host=source'),
        ...fence('bash run host=source', 'echo <x>'),
      ),
      ['17: The value `x` is declared in line 14 already. Rename or remove one of them.'],
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
        `14: \`${word.split('=')[1] ?? ''}\` is no name for a value. Write value=<name> with small letters, digits and dashes, a letter first.`,
      ],
    ]),
    [
      'block before the first section',
      [...frontMatter, ...fence('bash check host=source'), ...step('One')],
      ['7: A check block stands before the first `##`. Put it into a section.'],
    ],
    [
      'run without a check',
      inSection('## Two', ...fence('bash run host=source')),
      ['14: The step `Two` has no check. Add a check block that fails before it and passes after.'],
    ],
    [
      'check without run or solve',
      inSection('## Two', ...fence('bash check host=source')),
      ['14: The step `Two` has a check and nothing that makes it pass. Add a run or a solve block.'],
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
        '14: A run block is one command, whose lines all end in a backslash but the last. Give each command a block.',
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
      ['1: The front matter is missing. Start with ---, title, summary, minutes, order, ---.'],
    ],
    [
      'empty front matter',
      ['---', '---', ...step('One')],
      [
        '1: The front matter lacks `title` (Title of the lesson). Add it.',
        '1: The front matter lacks `summary` (One or two sentences for the list of lessons). Add it.',
        '1: The front matter lacks `minutes` (Minutes that a learner needs). Add it.',
        '1: The front matter lacks `order` (Place in the course, counted from 1). Add it.',
      ],
    ],
    [
      'extra and missing fields',
      ['---', 'titel: x', 'summary: x', 'minutes: 1', 'order: 1', '---', ...step('One')],
      [
        '1: The front matter lacks `title` (Title of the lesson). Add it.',
        '2: The front matter has no field `titel`. Did you mean `title`?',
      ],
    ],
    [
      'field of the wrong type',
      ['---', 'title: x', 'summary: x', 'order: 1', 'minutes: long', '---', ...step('One')],
      [
        "5: The front matter's `minutes` (Minutes that a learner needs) is wrong: Invalid input: expected number, received string.",
      ],
    ],
    [
      'front matter that is a list',
      ['---', '- title', '---', ...step('One')],
      ['1: The front matter must hold the fields title, summary, minutes, order.'],
    ],
  ];
  it.each(cases)('%s', (_name, lines, told) => {
    expect(defectsOf(lines)).toEqual(told);
  });

  it.each([
    ['unclosed expression', inSection('Look at {{this'), 14],
    ['unclosed tag', inSection('Type <name> here', 'and more'), 14],
    ['import that is not JavaScript', inSection('', 'import x from'), 15],
  ])('broken MDX: %s', (_name, lines, line) => {
    const defects = defectsOf(lines);
    expect(defects).toHaveLength(1);
    expect(defects[0]).toMatch(new RegExp(`^${line}: The MDX is broken at column \\d+: .*code span\\.$`));
  });

  it('broken YAML', () => {
    const defects = defectsOf(['---', 'title: x', 'summary: "x', 'minutes: 1', '---', ...step('One')]);
    expect(defects).toHaveLength(1);
    expect(defects[0]).toMatch(/^[345]: The front matter is no valid YAML: .+\.$/);
  });

  it('all of them at once, in the order of their lines', () => {
    const defects = defectsOf([
      ...frontMatter.filter((line) => !line.startsWith('minutes')),
      '## One',
      ...fence('bash run host=nowhere'),
      ...fence('bash check'),
      '## Two',
      ...fence('bash run host=source', ''),
    ]);
    expect(defects.map((defect) => defect.replace(/:.*/, ''))).toEqual(['1', '7', '10', '13', '14']);
  });
});
