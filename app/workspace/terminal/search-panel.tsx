'use client';

import { useEffect, useRef, useState, type ReactElement } from 'react';
import { Glyph } from '../../ui/glyph';
import type { HostTerminal, TerminalState } from './terminal';
import './search-panel.css';

function Toggle(props: {
  label: string;
  sign: string;
  on: boolean;
  set: (on: boolean) => void;
}): ReactElement {
  return (
    <button
      type="button"
      className="search-toggle"
      aria-pressed={props.on}
      aria-label={props.label}
      title={props.label}
      onClick={() => {
        props.set(!props.on);
      }}
    >
      {props.sign}
    </button>
  );
}

const isRegex = (term: string): boolean => {
  try {
    return new RegExp(term) instanceof RegExp;
  } catch {
    return false;
  }
};

/** Finds text in a terminal's screen and scrollback. */
export function SearchPanel(props: {
  terminal: HostTerminal;
  found: TerminalState['found'];
  close: () => void;
}): ReactElement {
  const { terminal, found, close } = props;
  const field = useRef<HTMLInputElement>(null);
  const [term, setTerm] = useState('');
  const [caseSensitive, setCaseSensitive] = useState(false);
  const [regex, setRegex] = useState(false);
  const unreadable = regex && !isRegex(term);

  useEffect(() => {
    field.current?.select();
    return () => {
      terminal.endSearch();
    };
  }, [terminal]);
  useEffect(() => {
    if (!unreadable) terminal.search(term, 'previous', { caseSensitive, regex, incremental: true });
  }, [terminal, term, caseSensitive, regex, unreadable]);

  const go = (direction: 'next' | 'previous'): void => {
    if (!unreadable) terminal.search(term, direction, { caseSensitive, regex });
  };
  let count = '';
  if (unreadable) count = 'invalid pattern';
  else if (term !== '' && found !== null) {
    if (found.count === 0) count = 'no matches';
    else if (found.index < 0) count = `more than ${found.count - 1}`;
    else count = `${found.index + 1} of ${found.count}`;
  }

  return (
    <search className="search-panel">
      <input
        ref={field}
        type="text"
        value={term}
        aria-label="Search in the terminal"
        aria-invalid={unreadable}
        placeholder="Search"
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => {
          setTerm(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') go(event.shiftKey ? 'next' : 'previous');
          else if (event.key === 'Escape') close();
          else return;
          event.preventDefault();
        }}
      />
      <span className="search-count" role="status">
        {count}
      </span>
      <Toggle label="Match case" sign="Aa" on={caseSensitive} set={setCaseSensitive} />
      <Toggle label="Regular expression" sign=".*" on={regex} set={setRegex} />
      <button
        type="button"
        className="icon-button"
        aria-label="Previous match"
        title="Previous match (Enter)"
        onClick={() => {
          go('previous');
        }}
      >
        <Glyph name="up" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="Next match"
        title="Next match (Shift Enter)"
        onClick={() => {
          go('next');
        }}
      >
        <Glyph name="down" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label="Close search"
        title="Close (Escape)"
        onClick={close}
      >
        <Glyph name="close" />
      </button>
    </search>
  );
}
