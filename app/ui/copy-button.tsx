'use client';

import { useEffect, useState, type ReactElement } from 'react';
import { copyText } from './copy-text';

/** How long "Copied" stands, in milliseconds. */
const copiedMs = 2_000;

/** @param what names the text for screen readers */
export function CopyButton({ text, what }: { text: string; what: string }): ReactElement {
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
    setSaid((await copyText(text)) ? 'Copied' : 'Not allowed');
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
