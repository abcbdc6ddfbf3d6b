/** What the lesson test saw, as asciicasts. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordingsFolder } from '../../../../../server/lessons/recording';
import { getLessons, getRecording, lessonsDir } from '../../../data';

interface Place {
  lesson: string;
  cast: string;
}

export const dynamic = 'force-static';
export const dynamicParams = false;

async function castsOf(lesson: string): Promise<string[]> {
  const recording = await getRecording(lesson);
  return Object.values(recording?.steps ?? {}).flatMap(({ casts }) => Object.values(casts));
}

export async function generateStaticParams(): Promise<Place[]> {
  const places = await Promise.all(
    (await getLessons()).map(async ({ id }) =>
      (await castsOf(id)).map((cast): Place => ({ lesson: id, cast })),
    ),
  );
  return places.flat();
}

export async function GET(_request: Request, { params }: { params: Promise<Place> }): Promise<Response> {
  const { lesson, cast } = await params;
  const known =
    (await getLessons()).some(({ id }) => id === lesson) && (await castsOf(lesson)).includes(cast);
  if (!known) return new Response(null, { status: 404 });
  const text = await readFile(join(lessonsDir, lesson, recordingsFolder, cast), 'utf8');
  return new Response(text, { headers: { 'content-type': 'application/x-asciicast' } });
}
