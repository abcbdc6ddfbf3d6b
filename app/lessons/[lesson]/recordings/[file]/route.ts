/** Serves the lesson test's recordings: asciicasts and their list. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { manifestName, recordingsFolder } from '../../../../../server/lessons/recording';
import type { Casts } from '../../../../player/casts';
import { getLessons, getRecording, lessonsDir } from '../../../data';

interface Place {
  lesson: string;
  file: string;
}

export const dynamic = 'force-static';
export const dynamicParams = false;

/** The casts of the lesson's current steps. */
async function castsOf(id: string): Promise<Casts> {
  const recording = await getRecording(id);
  const lesson = (await getLessons()).find((one) => one.id === id);
  return (lesson?.steps ?? []).flatMap((step) => {
    const casts = recording?.steps[step.id]?.casts ?? {};
    return Object.keys(casts).length === 0 ? [] : [{ stepId: step.id, title: step.title, casts }];
  });
}

const filesOf = async (id: string): Promise<string[]> => [
  manifestName,
  ...(await castsOf(id)).flatMap(({ casts }) => Object.values(casts)),
];

export async function generateStaticParams(): Promise<Place[]> {
  const lessons = await getLessons();
  const places = lessons.map(async ({ id }) => (await filesOf(id)).map((file) => ({ lesson: id, file })));
  return (await Promise.all(places)).flat();
}

export async function GET(_request: Request, { params }: { params: Promise<Place> }): Promise<Response> {
  const { lesson, file } = await params;
  if (!(await filesOf(lesson)).includes(file)) return new Response(null, { status: 404 });
  if (file === manifestName) return Response.json(await castsOf(lesson));
  const text = await readFile(join(lessonsDir, lesson, recordingsFolder, file), 'utf8');
  return new Response(text, { headers: { 'content-type': 'application/x-asciicast' } });
}
