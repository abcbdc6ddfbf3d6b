/** Lessons as the page shows them: compiled and evaluated on the server when the site is built. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleMDX } from 'mdx-bundler';
import { getMDXComponent } from 'mdx-bundler/client';
import { cache, isValidElement, type ComponentProps, type ReactElement, type ReactNode } from 'react';
import type { Lesson } from '../../server/lessons/lesson';
import { lessonFile, listLessons, loadLesson } from '../../server/lessons/load';
import { remarkLesson } from '../../server/lessons/remark-lesson';
import { hostNames } from '../../server/protocol/hosts';
import { CommandBlock } from '../workspace/command-block';
import { StepSection } from '../workspace/step-section';

const lessonsDir = join(process.cwd(), 'lessons');

/** All lessons in the course's order, read once for a build. */
export const getLessons = cache((): Promise<Lesson[]> => listLessons(lessonsDir));

/** What {@link remarkLesson} leaves on a block's `code` element. */
interface CodeProps {
  children?: ReactNode;
  'data-kind'?: string;
  'data-host'?: string;
  'data-step'?: string;
  'data-block'?: string;
}

/** A run block becomes a command; check, solve and value blocks are shown by their step, setup blocks not at all; the rest is illustration. */
function Pre({ children }: ComponentProps<'pre'>): ReactElement | null {
  const code = isValidElement<CodeProps>(children) ? children.props : {};
  const kind = code['data-kind'];
  if (kind === undefined) {
    return (
      // Focusable, because long lines scroll.
      <pre className="illustration" tabIndex={0}>
        {children}
      </pre>
    );
  }
  const host = hostNames.find((name) => name === code['data-host']);
  const stepId = code['data-step'];
  if (kind !== 'run' || host === undefined || stepId === undefined) return null;
  return (
    <CommandBlock
      host={host}
      stepId={stepId}
      block={Number(code['data-block'])}
      text={typeof code.children === 'string' ? code.children.trimEnd() : ''}
    />
  );
}

/**
 * A lesson and its text, ready to be rendered.
 * @throws LabError `bad-lesson`
 */
export async function getLessonContent(id: string): Promise<{ lesson: Lesson; content: ReactNode }> {
  const lesson = await loadLesson(lessonsDir, id);
  const { code } = await bundleMDX({
    source: await readFile(lessonFile(lessonsDir, id), 'utf8'),
    cwd: join(lessonsDir, id),
    // Its own type of the options names a path that its package does not export.
    mdxOptions: (options: { remarkPlugins?: unknown[] }) => ({
      ...options,
      remarkPlugins: [...(options.remarkPlugins ?? []), remarkLesson],
    }),
  });
  const Content = getMDXComponent(code);
  return { lesson, content: <Content components={{ pre: Pre, Step: StepSection }} /> };
}
