'use client';

import { useEffect, useState, type ReactElement } from 'react';
import { copyText } from './copy-text';

/** How long the button shows "Copied", in milliseconds. */
const copiedMs = 2_000;

/** @param what name of the copied text, for screen readers */
export function CopyButton({ text, what }: { text: string; what: string }): ReactElement {
  const [result, setResult] = useState<'Copied' | 'Copy failed' | null>(null);
  useEffect(() => {
    if (result === null) return;
    const timer = setTimeout(() => {
      setResult(null);
    }, copiedMs);
    return () => {
      clearTimeout(timer);
    };
  }, [result]);
  const copy = async (): Promise<void> => {
    setResult((await copyText(text)) ? 'Copied' : 'Copy failed');
  };
  return (
    <button
      type="button"
      className="button button-quiet"
      aria-label={`Copy: ${what}`}
      onClick={() => void copy()}
    >
      <span aria-live="polite">{result ?? 'Copy'}</span>
    </button>
  );
}
