/** Creates a lesson. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { partTitles } from '../lessons/lesson';
import { LabError } from '../protocol/errors';
import { lessonPath, type Course } from './course';

interface Beginning {
  id: string;
  /** 1 to 8. */
  part: number;
  title?: string;
}

const titleOf = (id: string): string => {
  const words = id.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
};

const hint = `<details>
<summary>Hint</summary>

TODO: where to look, without the answer.

</details>
`;

const solution = `<details>
<summary>Solution</summary>

TODO: what was wrong, and why this fixes it.

\`\`\`bash solve host=source
touch /tmp/done
\`\`\`

</details>
`;

const command = `\`\`\`bash run host=source
touch /tmp/done
\`\`\`
`;

/** Text of a new lesson. The linter finds nothing in it but the TODOs. */
export function firstDraft({ id, part, title }: Beginning, order: number): string {
  const isClinic = part === partTitles.indexOf('Clinic') + 1;
  return `---
title: ${JSON.stringify(title ?? titleOf(id))}
summary: "TODO: one or two sentences for the list of lessons."
minutes: 10
part: ${part}
order: ${order}
outcomes:
  - "TODO: what a learner will be able to do, beginning with a verb"
builds-on: []
sources:
  - name: CRIU 4.1.1
    file: criu/cr-dump.c, cr_dump_tasks
    what: "TODO: what this lesson takes from the source"
slides: {}
---

TODO: what this lesson is about, in two or three sentences.

## TODO: the first step

TODO: one idea.

${isClinic ? `${hint}\n${solution}` : command}
TODO: what to look at in the output, and why it is so.

\`\`\`bash check host=source
[ -e /tmp/done ] || { echo 'TODO: say what is missing: there is no /tmp/done on source yet.'; exit 1; }
echo 'TODO: say what is done now.'
\`\`\`

## What did you see?

\`\`\`quiz
question: "TODO: what a learner should be able to say now?"
options:
  - text: "TODO: an answer"
    correct: true
    explanation: "TODO: why it is right."
  - text: "TODO: another answer"
    explanation: "TODO: why it is wrong."
\`\`\`

\`\`\`quiz
question: "TODO: a question that is answered in the learner's own words?"
answer: "TODO: a good answer."
explanation: "TODO: why it is so."
\`\`\`
`;
}

/**
 * Creates the lesson's folder and its lesson.mdx, as the last lesson of its part.
 * @returns the file's path in the checkout
 * @throws LabError `bad-lesson` when the id is invalid or taken, or the part does not exist
 */
export async function scaffold(course: Course, beginning: Beginning): Promise<string> {
  const { id, part } = beginning;
  if (!/^[a-z][a-z0-9-]*$/.test(id)) {
    throw new LabError('bad-lesson', `\`${id}\` cannot be a lesson’s folder.`, {
      hint: 'Use lowercase letters, digits and dashes, beginning with a letter.',
    });
  }
  if (course.drafts.some((draft) => draft.id === id)) {
    throw new LabError('bad-lesson', `The lesson \`${id}\` already exists.`, {
      hint: 'Choose another name.',
    });
  }
  if (!Number.isInteger(part) || part < 1 || part > partTitles.length) {
    throw new LabError('bad-lesson', `The course has no part ${part}.`, {
      hint: `The parts are: ${partTitles.map((title, index) => `${index + 1} ${title}`).join(', ')}.`,
    });
  }
  const orders = course.drafts.flatMap(({ frontMatter }) =>
    frontMatter?.value.part === part ? [frontMatter.value.order] : [],
  );
  const path = lessonPath(id);
  await mkdir(dirname(join(course.root, path)));
  await writeFile(join(course.root, path), firstDraft(beginning, Math.max(0, ...orders) + 1));
  return path;
}
