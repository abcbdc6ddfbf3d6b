/** The components that a lesson's prose is rendered with. They run on the server, when the site is built. */
import Link from 'next/link';
import type { ComponentProps, ReactElement } from 'react';
import type { LessonDocument, Quiz, Run } from '../../server/lessons/lesson';
import { recordedRun, type Recording } from '../../server/lessons/recording';
import { HostName } from '../ui/host';
import { CommandBlock } from '../workspace/steps/command-block';
import { StepSection } from '../workspace/steps/step-section';
import { CommandNotes } from './command-notes';
import { Markdown } from './markdown';
import { QuizForm } from './quiz-form';
import '../ui/script.css';
import './blocks.css';

/** A command's expected output: from the lesson test if it was recorded, otherwise from the author. */
function ExpectedOutput({ run, recorded }: { run: Run; recorded: string | undefined }): ReactElement | null {
  const output = recorded ?? run.output?.text;
  if (output === undefined) return null;
  return (
    <details className="expected">
      <summary>
        {recorded === undefined ? 'Expected output (shortened)' : 'Output from the lesson’s test'}
      </summary>
      {output === '' ? <p>Nothing.</p> : <pre tabIndex={0}>{output}</pre>}
    </details>
  );
}

/** Shows a script or a file. Focusable, because long lines scroll. */
function Listing({ text }: { text: string }): ReactElement {
  return (
    <pre tabIndex={0}>
      <code>{text}</code>
    </pre>
  );
}

/** A fence that is only an illustration. */
function Illustration({ children }: ComponentProps<'pre'>): ReactElement {
  return (
    <pre className="illustration" tabIndex={0}>
      {children}
    </pre>
  );
}

/**
 * The components of one lesson, by their names in its prose. See {@link lessonPlugins}.
 * @param recording what the lesson test saw, if the lesson was recorded
 */
export function lessonComponents({ lesson, blocks }: LessonDocument, recording: Recording | undefined) {
  /** @throws Error when the prose was compiled from another document */
  function Block({ index }: { index: number }): ReactElement | null {
    const block = blocks[index];
    if (block === undefined) throw new Error(`The lesson ${lesson.id} has no block ${index}.`);
    switch (block.kind) {
      case 'run': {
        const { stepId, runIndex, run } = block;
        return (
          <>
            <CommandBlock host={run.host} stepId={stepId} block={runIndex} text={run.text} />
            <CommandNotes run={run} />
            <ExpectedOutput run={run} recorded={recordedRun(recording, stepId, runIndex, run)?.output} />
          </>
        );
      }
      case 'solve':
        return (
          <div className="script">
            <HostName host={block.solve.host} />
            <Listing text={block.solve.text} />
          </div>
        );
      case 'file':
        return (
          <figure className="script">
            <figcaption>
              <code>{block.file.path}</code> on{' '}
              {block.host === 'both' ? 'both hosts' : <HostName host={block.host} />}
            </figcaption>
            <Listing text={block.file.text} />
          </figure>
        );
      case 'quiz':
        return <Question quiz={block.quiz} />;
      case 'check':
      case 'setup':
      case 'value':
      case 'output':
        return null;
    }
  }

  function Question({ quiz }: { quiz: Quiz }): ReactElement {
    const { question, options = [], answer, accept = [], explanation } = quiz;
    const render = (text: string): ReactElement => (
      <Markdown components={markdownComponents}>{text}</Markdown>
    );
    return (
      <QuizForm
        question={render(question)}
        options={options.map((option) => ({
          text: render(option.text),
          correct: option.correct,
          explanation: render(option.explanation),
        }))}
        answer={answer === undefined ? undefined : render(answer)}
        explanation={explanation === undefined ? undefined : render(explanation)}
        accept={accept}
      />
    );
  }

  /** A figure in its light and its dark version. The stylesheet shows one of them. */
  function Figure({ src, alt }: { src: string; alt?: string }): ReactElement {
    const address = (theme: string): string => `/lessons/${lesson.id}/figures/${theme}/${src}`;
    return (
      <span className="figure">
        {['light', 'dark'].map((theme) => (
          // eslint-disable-next-line @next/next/no-img-element -- a drawing has no pixels to optimize
          <img key={theme} data-theme={theme} src={address(theme)} alt={alt ?? ''} loading="lazy" />
        ))}
      </span>
    );
  }

  /** The prose links to another lesson's file, so the link works on a code host too. */
  function Anchor({ href = '', children, ...more }: ComponentProps<'a'>): ReactElement {
    const lessonLink = /^\.\.\/([^/]+)\/lesson\.mdx(#.*)?$/.exec(href);
    if (!lessonLink)
      return (
        <a href={href} {...more}>
          {children}
        </a>
      );
    const [, id = '', anchor = ''] = lessonLink;
    return <Link href={`/lessons/${id}${anchor}`}>{children}</Link>;
  }

  const markdownComponents = { pre: Illustration, img: Figure, a: Anchor };
  return { ...markdownComponents, Step: StepSection, Block };
}
