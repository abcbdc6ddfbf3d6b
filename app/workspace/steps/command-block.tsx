'use client';

import type { ReactElement } from 'react';
import { fillValues, splitAtValues } from '../../../server/lessons/fill';
import type { HostName } from '../../../server/protocol/hosts';
import { HostName as Host } from '../../ui/host';
import { Words } from '../../ui/words';
import { spellRuntime } from '../../ui/time';
import { useNow } from '../../ui/use-now';
import { useLabSession, useSessionState } from '../session/context';
import { CopyButton } from '../../ui/copy-button';
import { blockKey, type RunState } from '../session/run-state';
import { isOnline, isReady, isRewinding, terminalsOf, valuesOf } from '../session/selectors';
import '../../ui/command-prompt.css';
import './command-block.css';

/** A shell's exit code for a program that Ctrl-C ended: 128 plus the number of SIGINT. */
const exitCodeOfInterrupt = 130;

function Seconds({ sinceMs }: { sinceMs: number }): ReactElement {
  const nowMs = useNow(1_000);
  return <span aria-hidden="true">, {Math.max(0, Math.floor((nowMs - sinceMs) / 1_000))} s</span>;
}

/** The outcome of a command that was typed, as its runner reports it. */
function Outcome(props: {
  host: HostName;
  run: Extract<RunState, { state: 'typed' }>;
  /** Whether the lesson expects this exit code. */
  isExpected: (exitCode: number | null) => boolean;
}): ReactElement {
  const { host, run, isExpected } = props;
  const name = useSessionState((state) => {
    const own = terminalsOf(state).filter((one) => one.host === host);
    return own.length > 1 ? own.find(({ id }) => id === run.terminal)?.name : undefined;
  });
  const where = name === undefined ? host : `${host}, ${name}`;
  const { command } = run;
  if (command === null) return <p className="command-typed">Typed in {where}.</p>;
  if (command.state === 'running') {
    return (
      <p className="command-running">
        <span className="command-spinner" aria-hidden="true" />
        Running in {where}
        {command.sinceMs !== null && <Seconds sinceMs={command.sinceMs} />}.
      </p>
    );
  }
  const time = command.durationMs === null ? '' : ` after ${spellRuntime(command.durationMs)}`;
  if (isExpected(command.exitCode)) {
    return (
      <p className="command-typed">
        {command.exitCode === 0 ? 'Done' : `Ended with exit code ${command.exitCode ?? 0}, as expected,`} in{' '}
        {where}
        {time}.
      </p>
    );
  }
  return (
    <p className="command-failed">
      <strong>{command.exitCode === null ? 'Ended' : `Ended with exit code ${command.exitCode}`}</strong> in{' '}
      {where}
      {time}.
    </p>
  );
}

/** One command of the lesson, with its host and the button that types it. */
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
  const values = useSessionState(valuesOf);
  const rewinding = useSessionState(isRewinding);
  const offline = useSessionState((state) => isReady(state) && !isOnline(state));
  const valueNames = session.lesson.values.map(({ name }) => name);
  const filled = fillValues(text, valueNames, values);
  const shown = 'text' in filled ? filled.text : text;
  const command = run?.state === 'typed' ? run.command : undefined;
  const definition = session.lesson.steps.find(({ id }) => id === stepId)?.runs[block];
  const isExpected = (exitCode: number | null): boolean =>
    exitCode === (definition?.exit ?? 0) ||
    definition?.background === true ||
    (definition?.interrupt !== undefined && exitCode === exitCodeOfInterrupt);
  let outcome: 'running' | 'ok' | 'failed' | undefined;
  if (command?.state === 'running') outcome = 'running';
  else if (command?.state === 'done') outcome = isExpected(command.exitCode) ? 'ok' : 'failed';

  return (
    <div
      className="command"
      data-host={host}
      data-block={key}
      data-run={run?.state ?? 'never'}
      data-outcome={outcome}
    >
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
                  <i
                    key={index}
                    className="value-unknown"
                    title="The lab fills this in when it knows the value"
                  >
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
        {run?.state === 'sent' && <p>{offline ? 'Waiting for the connection…' : 'Sending…'}</p>}
        {run?.state === 'typed' && <Outcome host={host} run={run} isExpected={isExpected} />}
        {run?.state === 'refused' && (
          <p className="command-refused">
            <strong>Not typed.</strong> {run.problem.message} {run.problem.hint}
          </p>
        )}
      </div>
    </div>
  );
}
