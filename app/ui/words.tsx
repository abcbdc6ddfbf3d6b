import { Fragment, type ReactElement, type ReactNode } from 'react';
import './words.css';

/**
 * A command whose lines break between words only: the browser's own rules would break `--import` after its dashes.
 * @param draw how to draw one word; as it is by default
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
