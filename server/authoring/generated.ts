/** Files that are made from the schemas and the lessons; a test and the linter demand that they are current. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Diagnostic } from '../lessons/diagnostics';
import { blockKinds, blockSchemas, frontMatterSchema, quizSchema, type BlockKind } from '../lessons/lesson';
import { lessonPath, type Course } from './course';

type JsonSchema = z.core.JSONSchema.BaseSchema;

const jsonSchemaOf = (schema: z.ZodType): JsonSchema => {
  const made: JsonSchema = z.toJSONSchema(schema, { io: 'input' });
  // It stands once, at the beginning of the file.
  delete made.$schema;
  return made;
};

/** For editors: the front matter of a lesson, with the other schemas of the contract under `$defs`. */
function editorSchema(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    ...jsonSchemaOf(frontMatterSchema),
    $defs: {
      quiz: jsonSchemaOf(quizSchema),
      ...Object.fromEntries(blockKinds.map((kind) => [`block-${kind}`, jsonSchemaOf(blockSchemas[kind])])),
    },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** An example of each kind of block; a test reads them as part of a lesson. */
export const examples: Readonly<Record<BlockKind | 'quiz', string>> = {
  run: `\`\`\`bash run host=source
podman container checkpoint -l --export=/tmp/chkpt.tar.gz
\`\`\`

\`\`\`bash run host=destination terminal=2 background
criu page-server --images-dir /tmp/images --port 9876
\`\`\`

\`\`\`bash run host=source exit=1
criu.debian check --feature no-such-feature
\`\`\``,
  check: `\`\`\`bash check host=source
[ -s /tmp/chkpt.tar.gz ] || { echo 'There is no /tmp/chkpt.tar.gz on source yet.'; exit 1; }
echo "The checkpoint has $(stat -c %s /tmp/chkpt.tar.gz) bytes."
\`\`\``,
  solve: `<details>
<summary>Solution</summary>

The process ID is taken by another process: end that one.

\`\`\`bash solve host=destination
kill "$(cat /run/squatter.pid)"
\`\`\`

</details>`,
  setup: `\`\`\`bash setup host=both
podman pull --quiet localhost/counter
\`\`\``,
  value: `\`\`\`bash value=address host=source
podman inspect -l --format '{{.NetworkSettings.IPAddress}}'
\`\`\``,
  file: `\`\`\`c file=/root/parasite/parasite.c host=source
int main(void) { return 0; }
\`\`\``,
  output: `\`\`\`text output
unconfined_u:unconfined_r:unconfined_t:s0 … java
\`\`\``,
  quiz: `\`\`\`quiz
question: Why may only one program trace a process with \`ptrace()\`?
options:
  - text: The kernel keeps one tracer for each thread.
    correct: true
    explanation: "\`TracerPid\` in \`/proc/PID/status\` has room for one."
  - text: CRIU takes a lock in the file system.
    explanation: It does not. The second \`PTRACE_SEIZE\` is refused by the kernel, whoever asks.
\`\`\`

\`\`\`quiz
question: Which signal number has \`SIGSTOP\` on x86-64?
answer: "19"
accept: ["19"]
explanation: "\`kill -l STOP\` tells it."
\`\`\``,
};

function typeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  if (schema.const !== undefined)
    return schema.const === true ? 'the word alone' : `\`${String(schema.const)}\``;
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(one)).join(' or ');
  if (schema.type === 'array') return `list of ${typeOf(schema.items as JsonSchema)}`;
  if (schema.type === 'object') return schema.additionalProperties ? 'map' : 'map of the fields below';
  const { minimum, maximum } = schema;
  const bounds =
    minimum !== undefined && maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER
      ? `, ${minimum} to ${maximum}`
      : '';
  const name = typeof schema.type === 'string' ? schema.type : '';
  return name === 'string' ? 'text' : `${name}${bounds}`;
}

function fieldTable(schema: JsonSchema): string {
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => {
    const { description = '', ...rest } = field as JsonSchema;
    const needed = schema.required?.includes(name) ?? false;
    const fallback = rest.default === undefined ? 'no' : `no, ${JSON.stringify(rest.default)}`;
    return `| \`${name}\` | ${typeOf(rest)} | ${needed ? 'yes' : fallback} | ${description} |`;
  });
  return ['| Field | What | Needed | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** Fields of the maps within a map, each with a heading. */
function innerTables(schema: JsonSchema): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const map = field as JsonSchema;
    if (map.properties) return [`In \`${name}\`:`, fieldTable(map)];
    const item = map.items as JsonSchema | undefined;
    return item?.properties ? [`Each of \`${name}\`: ${item.description ?? ''}.`, fieldTable(item)] : [];
  });
}

const made = (how: string): string =>
  `<!-- Made by \`npm run lessons -- lint --fix\` ${how}. Change it there. -->`;

function reference(): string {
  const matter = jsonSchemaOf(frontMatterSchema);
  const quiz = jsonSchemaOf(quizSchema);
  const blocks = blockKinds.map((kind) => {
    const schema = jsonSchemaOf(blockSchemas[kind]);
    const fields = Object.keys(schema.properties ?? {}).length > 0 ? [fieldTable(schema)] : [];
    return [
      `### ${kind}`,
      schema.description ?? '',
      ...fields,
      `\`\`\`\`markdown\n${examples[kind]}\n\`\`\`\``,
    ];
  });
  return [
    made('from the schemas in server/lessons/lesson.ts'),
    '# What a lesson may hold',
    'How a lesson is written: [CONTRIBUTING.md](../CONTRIBUTING.md#writing-a-lesson). This is the whole contract; `npm run lessons -- lint` enforces it with file and line.',
    'A lesson is a folder `lessons/<id>/` with one `lesson.mdx`: plain Markdown as code hosts show it, with tables and `> [!NOTE]`. Of HTML it may hold `<details>` and `<summary>`, each on a line of its own with a blank line before text, and `<kbd>`, `<sub>`, `<sup>`, `<br/>`. A `{` or `<` that is text belongs in a code span.',
    'Each heading of level 2 begins a section. A section with run, check or solve blocks is a **step**; its id is the heading’s slug, and it needs a check, and something that makes it pass.',
    '## Front matter',
    fieldTable(matter),
    ...innerTables(matter),
    'In an editor, `lessons/schema.json` is the JSON schema of the front matter.',
    '## Blocks',
    'A block is a fence. The words after its language say what kind it is and how it is run. Its language is `bash` unless the kind says otherwise. A fence without words is an illustration.',
    ...blocks.flat(),
    '## Questions',
    `${quiz.description ?? ''}.`,
    fieldTable(quiz),
    ...innerTables(quiz),
    `\`\`\`\`markdown\n${examples.quiz}\n\`\`\`\``,
    '## Hints',
    '`<details>` with `<summary>Hint</summary>`: as many as you like, each closer to the solution than the one before. A lesson of the clinic (part 8) has at least one hint and a solution in each step.',
    '## Figures',
    '`![What a reader sees in it](figure.svg)`: an SVG file in the lesson’s folder, with a `viewBox` and with colours for dark pages in a `<style>` with `@media (prefers-color-scheme: dark)`. The page takes the light or dark form by the reader’s choice. It runs and loads nothing.',
    '## Links',
    'To another lesson: `../<id>/lesson.mdx`, with `#<id of a heading of level 2>` if you like. Within the lesson: `#<id>`. Anything else is an http or https address.',
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}

/** Which slide is done by hand where. */
function slideTable(course: Course): string {
  const rows = course.slides.map(({ number, title, noStep }) => {
    const places = course.lessons.flatMap((lesson) =>
      [lesson.slides[number] ?? []].flat().map((stepId) => {
        const step = lesson.steps.find(({ id }) => id === stepId);
        return `[${lesson.title}: ${step?.title ?? stepId}](../${lessonPath(lesson.id)}#${stepId})`;
      }),
    );
    const where = noStep === undefined ? places.join('<br>') || '**nowhere yet**' : `_${noStep}_`;
    return `| ${number} | ${title} | ${where} |`;
  });
  return [
    made('from lessons/talk.yml and the lessons’ front matter'),
    '# The talk, slide by slide',
    'Where each slide of Adrian Reber’s talk _Container Live Migration_ (Tübix 2019) is done by hand.',
    ['| Slide | Title | Step |', '| ---: | --- | --- |', ...rows].join('\n'),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}

/** The files as they should be, by path in the checkout. */
export const generatedFiles = (course: Course): Readonly<Record<string, string>> => ({
  'lessons/schema.json': editorSchema(),
  'docs/lesson-reference.md': reference(),
  'docs/slides.md': slideTable(course),
});

/** Those that are not as they should be. */
export async function lintGenerated(course: Course): Promise<Diagnostic[]> {
  const diagnostics = await Promise.all(
    Object.entries(generatedFiles(course)).map(async ([file, wanted]): Promise<Diagnostic[]> => {
      const text = await readFile(join(course.root, file), 'utf8').catch(() => undefined);
      if (text === wanted) return [];
      return [
        {
          file,
          line: 1,
          level: 'error',
          message: 'This file is out of date. Run: npm run lessons -- lint --fix',
        },
      ];
    }),
  );
  return diagnostics.flat();
}
