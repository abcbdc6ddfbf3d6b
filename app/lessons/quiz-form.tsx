'use client';

import { useId, useState, type ReactElement, type ReactNode } from 'react';
import './quiz-form.css';

interface Option {
  text: ReactNode;
  correct: boolean;
  explanation: ReactNode;
}

interface QuizProps {
  question: ReactNode;
  /** Empty for a question that learners answer in their own words. */
  options: readonly Option[];
  answer: ReactNode;
  explanation: ReactNode;
  /** Short answers that are certainly right. */
  accept: readonly string[];
}

/** A question. Answers are neither stored nor sent. Buttons and fields are native, so the usual keys work. */
export function QuizForm(props: QuizProps): ReactElement {
  return props.options.length > 0 ? <Choice {...props} /> : <OwnWords {...props} />;
}

function Choice({ question, options }: QuizProps): ReactElement {
  const id = useId();
  const several = options.filter(({ correct }) => correct).length > 1;
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const [checked, setChecked] = useState(false);
  const right = options.every(({ correct }, index) => correct === chosen.has(index));

  const choose = (index: number, on: boolean): void => {
    const next = several ? new Set(chosen) : new Set<number>();
    if (on) next.add(index);
    else next.delete(index);
    setChosen(next);
    setChecked(false);
  };

  return (
    <form
      className="quiz"
      onSubmit={(event) => {
        event.preventDefault();
        if (chosen.size > 0) setChecked(true);
      }}
    >
      <fieldset>
        <legend>
          {question} {several && <span className="quiz-note">More than one answer is correct.</span>}
        </legend>
        <ul className="quiz-options">
          {options.map(({ text, correct, explanation }, index) => {
            // Explain only the chosen options until the answer is correct, then all of them.
            const told = checked && (right || chosen.has(index));
            return (
              <li key={index} data-verdict={told ? (correct ? 'right' : 'wrong') : undefined}>
                <label>
                  <input
                    type={several ? 'checkbox' : 'radio'}
                    name={id}
                    checked={chosen.has(index)}
                    aria-describedby={told ? `${id}-${index}` : undefined}
                    onChange={(event) => {
                      choose(index, event.target.checked);
                    }}
                  />
                  <span>{text}</span>
                </label>
                {told && (
                  <div className="quiz-explanation" id={`${id}-${index}`}>
                    <strong>{correct ? 'Correct.' : 'Wrong.'}</strong> {explanation}
                  </div>
                )}
              </li>
            );
          })}
        </ul>
      </fieldset>
      <p className="quiz-answer">
        <button type="submit" className="button">
          Check answer
        </button>
        <span role="status">
          {checked && (right ? 'Correct.' : several ? 'Not quite. Try again.' : 'Wrong. Try another answer.')}
        </span>
      </p>
    </form>
  );
}

const plain = (text: string): string => text.toLowerCase().replace(/\s+/g, '');

function OwnWords({ question, answer, explanation, accept }: QuizProps): ReactElement {
  const id = useId();
  const [text, setText] = useState('');
  const [shown, setShown] = useState(false);
  const known = accept.some((good) => plain(good) === plain(text));

  return (
    <form
      className="quiz"
      onSubmit={(event) => {
        event.preventDefault();
        setShown(true);
      }}
    >
      <label className="quiz-question" htmlFor={id}>
        {question}
      </label>
      {accept.length > 0 ? (
        <input
          id={id}
          type="text"
          autoComplete="off"
          spellCheck={false}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
          }}
        />
      ) : (
        <textarea
          id={id}
          rows={3}
          value={text}
          onChange={(event) => {
            setText(event.target.value);
          }}
        />
      )}
      <p className="quiz-answer">
        <button type="submit" className="button">
          {accept.length > 0 ? 'Check answer' : 'Show sample answer'}
        </button>
      </p>
      <div className="quiz-explanation" role="status">
        {shown && (
          <>
            <div>
              <strong>{known ? 'Correct.' : 'Sample answer:'}</strong> {answer}
            </div>
            <div>{explanation}</div>
          </>
        )}
      </div>
    </form>
  );
}
