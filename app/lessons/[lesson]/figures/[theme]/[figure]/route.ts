/** Serves a lesson's figures in a light and a dark version, because an image cannot see its page's theme. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getFigures, getLessons, lessonsDir } from '../../../../data';

interface Place {
  lesson: string;
  theme: string;
  figure: string;
}

export const dynamic = 'force-static';
export const dynamicParams = false;

export async function generateStaticParams(): Promise<Place[]> {
  const lessons = await getLessons();
  const places = await Promise.all(
    lessons.map(async ({ id }) =>
      (await getFigures(id)).flatMap((figure) =>
        ['light', 'dark'].map((theme): Place => ({ lesson: id, theme, figure })),
      ),
    ),
  );
  return places.flat();
}

export async function GET(_request: Request, { params }: { params: Promise<Place> }): Promise<Response> {
  const { lesson, theme, figure } = await params;
  const known =
    (await getLessons()).some(({ id }) => id === lesson) && (await getFigures(lesson)).includes(figure);
  if (!known) return new Response(null, { status: 404 });
  const svg = await readFile(join(lessonsDir, lesson, figure), 'utf8');
  const fixed = svg.replaceAll('(prefers-color-scheme: dark)', theme === 'dark' ? 'all' : 'not all');
  return new Response(fixed, { headers: { 'content-type': 'image/svg+xml' } });
}
