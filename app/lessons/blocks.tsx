/** The components that a lesson's Markdown becomes. They run on the server, when the site is built. */
import Link from 'next/link';
import { Children, isValidElement, type ComponentProps, type ReactElement, type ReactNode } from 'react';
import type { Lesson, Run } from '../../server/lessons/lesson';
import { recordedRun, type Recording } from '../../server/lessons/recording';
import { hostNames } from '../../server/protocol/hosts';
import { HostName } from '../ui/host';
import { CommandBlock } from '../workspace/steps/command-block';
import { StepSection } from '../workspace/steps/step-section';
import { CommandNotes } from './command-notes';
import { QuizForm } from './quiz-form';
import '../ui/script.css';
import './blocks.css';

/** What the lesson's plugins leave on a block's `code` element. */
interface CodeProps {
  children?: ReactNode;
  'data-kind'?: string;
  'data-host'?: string;
  'data-step'?: string;
  'data-block'?: string;
  'data-file'?: string;
}

const hostOf = (code: CodeProps): (typeof hostNames)[number] | undefined =>
  hostNames.find((name) => name === code['data-host']);

/** A part of a question, which {@link Quiz} takes apart and nobody renders. */
interface QuizPartProps {
  name: 'question' | 'option' | 'explanation' | 'answer';
  correct?: 'true';
  children: ReactNode;
}

function QuizPart({ children }: QuizPartProps): ReactNode {
  return children;
}

function Quiz({ accept, children }: { accept?: string; children: ReactNode }): ReactElement {
  const parts = Children.toArray(children).flatMap((child) =>
    isValidElement<QuizPartProps>(child) ? [child.props] : [],
  );
  const find = (name: QuizPartProps['name']): ReactNode => parts.find((part) => part.name === name)?.children;
  const options = parts.flatMap((part, index) =>
    part.name === 'option'
      ? [{ text: part.children, correct: part.correct === 'true', explanation: parts[index + 1]?.children }]
      : [],
  );
  return (
    <QuizForm
      question={find('question')}
      options={options}
      answer={find('answer')}
      explanation={options.length > 0 ? undefined : find('explanation')}
      accept={accept === undefined ? [] : (JSON.parse(accept) as string[])}
    />
  );
}

/** The output that a command is expected to have: as the lesson test saw it, else as the author wrote it. */
function ExpectedOutput({ run, recorded }: { run: Run; recorded: string | undefined }): ReactElement | null {
  const output = recorded ?? run.output?.text;
  if (output === undefined) return null;
  return (
    <details className="expected">
      <summary>
        {recorded === undefined ? 'What it prints, in short' : 'What it printed when the lesson was tested'}
      </summary>
      {output === '' ? <p>Nothing.</p> : <pre tabIndex={0}>{output}</pre>}
    </details>
  );
}

/**
 * The components of one lesson.
 * @param recording what the lesson test saw of it, if it was recorded
 */
export function blocksOf(lesson: Lesson, recording: Recording | undefined) {
  /** A run block becomes a command; what is shown elsewhere or not at all is left out; the rest is illustration. */
  function Pre({ children }: ComponentProps<'pre'>): ReactElement | null {
    const code = isValidElement<CodeProps>(children) ? children.props : {};
    const text = typeof code.children === 'string' ? code.children.trimEnd() : '';
    const host = hostOf(code);
    const stepId = code['data-step'] ?? '';
    switch (code['data-kind']) {
      case undefined:
        return (
          // Focusable, because long lines scroll.
          <pre className="illustration" tabIndex={0}>
            {children}
          </pre>
        );
      case 'run': {
        const block = Number(code['data-block']);
        const run = lesson.steps.find(({ id }) => id === stepId)?.runs[block];
        if (host === undefined || run === undefined) return null;
        return (
          <>
            <CommandBlock host={host} stepId={stepId} block={block} text={text} />
            <CommandNotes run={run} />
            <ExpectedOutput run={run} recorded={recordedRun(recording, stepId, block, run)?.output} />
          </>
        );
      }
      case 'solve':
        return (
          <div className="script">
            {host !== undefined && <HostName host={host} />}
            <pre tabIndex={0}>{children}</pre>
          </div>
        );
      case 'file':
        return (
          <figure className="script">
            <figcaption>
              <code>{code['data-file']}</code> on{' '}
              {host === undefined ? 'both hosts' : <HostName host={host} />}
            </figcaption>
            <pre tabIndex={0}>{children}</pre>
          </figure>
        );
      default:
        return null;
    }
  }

  /** A figure in its light and its dark form, of which the stylesheet shows one. */
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

  /** On a code host a lesson is a file beside this one. */
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

  return { pre: Pre, img: Figure, a: Anchor, Step: StepSection, Quiz, QuizPart };
}
