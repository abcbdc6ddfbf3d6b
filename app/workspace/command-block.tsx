'use client';

import { useEffect, useState, type ReactElement } from 'react';
import { fillValues, splitAtValues } from '../../server/lessons/fill';
import type { HostName } from '../../server/protocol/hosts';
import { HostName as Host } from '../ui/host';
import { Words } from '../ui/words';
import { useLabSession, useSessionState } from './context';
import { blockKey } from './session';

/** How long "Copied" stands, in milliseconds. */
const copiedMs = 2_000;

function CopyButton({ text, what }: { text: string; what: string }): ReactElement {
  const [said, setSaid] = useState<'Copied' | 'Not allowed' | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => {
      setSaid(null);
    }, copiedMs);
    return () => {
      clearTimeout(timer);
    };
  }, [said]);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // Browsers refuse it on pages without TLS that are not localhost.
      setSaid('Not allowed');
    }
  };
  return (
    <button
      type="button"
      className="button button-quiet"
      aria-label={`Copy: ${what}`}
      onClick={() => void copy()}
    >
      <span aria-live="polite">{said ?? 'Copy'}</span>
    </button>
  );
}

/** One command of the lesson: where it runs, what it is, and the button that types it there. */
export function CommandBlock(props: {
  host: HostName;
  stepId: string;
  block: number;
  text: string;
}): ReactElement {
  const { host, stepId, block, text } = props;
  const session = useLabSession();
  const key = blockKey(stepId, block);
  const run = useSessionState((state) => state.runs[key]);
  const values = useSessionState((state) => state.values);
  const rewinding = useSessionState((state) => state.phase === 'rewinding');
  const offline = useSessionState((state) => state.phase === 'ready' && state.connection !== 'open');
  const valueNames = session.lesson.values.map(({ name }) => name);
  const filled = fillValues(text, valueNames, values);
  const shown = 'text' in filled ? filled.text : text;

  return (
    <div className="command" data-host={host} data-block={key} data-run={run?.state ?? 'never'}>
      <div className="command-head">
        <Host host={host} />
        <CopyButton text={shown} what={shown} />
        <button
          type="button"
          className="button button-run"
          disabled={rewinding}
          aria-label={`Run in ${host}: ${shown}`}
          onClick={() => {
            session.run(stepId, block);
          }}
        >
          <svg viewBox="0 0 10 10" aria-hidden="true">
            <path d="M2 1l7 4-7 4z" />
          </svg>
          Run
        </button>
      </div>
      <pre className="command-text">
        <span className="command-prompt" aria-hidden="true">
          #{' '}
        </span>
        <code>
          <Words
            text={text}
            draw={(word) =>
              splitAtValues(word, valueNames).map((part, index) => {
                if ('text' in part) return part.text;
                const value = values[part.valueName];
                return value === undefined ? (
                  <i key={index} className="value-unknown" title="Filled in once the lab knows it">
                    {`<${part.valueName}>`}
                  </i>
                ) : (
                  <b key={index} className="value-known" title={`<${part.valueName}>`}>
                    {value}
                  </b>
                );
              })
            }
          />
        </code>
      </pre>
      <div className="command-result" role="status">
        {run?.state === 'sent' && <p>{offline ? 'Waits for the connection.' : 'Sending.'}</p>}
        {run?.state === 'typed' && <p className="command-typed">Typed in {host}.</p>}
        {run?.state === 'refused' && (
          <p className="command-refused">
            <strong>Not typed.</strong> {run.error.message} {run.error.hint}
          </p>
        )}
      </div>
    </div>
  );
}
