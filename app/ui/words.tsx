import { Fragment, type ReactElement, type ReactNode } from 'react';
import './words.css';

/**
 * Shows a command that breaks lines only between words. By the browser's rules, `--import` could break after its dashes.
 * @param draw draws one word; by default the plain word
 */
export function Words({ text, draw }: { text: string; draw?: (word: string) => ReactNode }): ReactElement {
  return (
    <>
      {text.split(/(\s+)/).map((word, index) =>
        /\S/.test(word) ? (
          <span key={index} className="word">
            {draw?.(word) ?? word}
          </span>
        ) : (
          <Fragment key={index}>{word}</Fragment>
        ),
      )}
    </>
  );
}
