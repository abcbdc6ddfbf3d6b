import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkDocuments, listLessons, loadLesson } from './load';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lessons-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function write(id: string, order: number, host = 'source'): Promise<void> {
  await mkdir(join(directory, id));
  const fences = ['run', 'check'].map((kind) => `\`\`\`bash ${kind} host=${host}\ntrue\n\`\`\`\n`).join('');
  await writeFile(
    join(directory, id, 'lesson.mdx'),
    `---\ntitle: ${id}\nsummary: S\nminutes: 1\npart: 1\norder: ${order}\noutcomes: [Do it]\nsources: [{ name: A, url: 'https://example.org/', what: all }]\n---\n\n## One\n${fences}`,
  );
}

test('lists the lessons in their order', async () => {
  await write('a', 2);
  await write('b', 1);
  expect((await listLessons(directory)).map((lesson) => lesson.id)).toEqual(['b', 'a']);
});

test('returns the good lessons and an error for each bad one', async () => {
  await write('good', 1);
  await write('bad', 2, 'nowhere');
  await mkdir(join(directory, 'empty'));
  const { documents, errors } = await checkDocuments(directory);
  expect(documents.map(({ lesson }) => lesson.id)).toEqual(['good']);
  const messages = errors.map((error) => error.message).sort();
  expect(messages).toEqual([
    expect.stringMatching(/bad\/lesson\.mdx:12: There is no host `nowhere`.*\n.*bad\/lesson\.mdx:15: /s),
    expect.stringMatching(/empty\/lesson\.mdx:1: The file cannot be read: .*ENOENT/),
  ]);
  await expect(listLessons(directory)).rejects.toMatchObject({
    code: 'bad-lesson',
    message: expect.stringContaining('nowhere') as string,
  });
});

test.each(['other', '..', '../x', 'good/../good', ''])('has no lesson %j', async (id) => {
  await write('good', 1);
  await expect(loadLesson(directory, id)).rejects.toMatchObject({
    code: 'bad-lesson',
    message: `There is no lesson \`${id}\`.`,
    hint: 'The lessons are: good.',
  });
});
