import Link from 'next/link';
import type { ReactElement } from 'react';
import './wordmark.css';

/** The project's name with its mark: an arrow from a circle into a square. */
export function Wordmark(): ReactElement {
  return (
    <Link href="/" className="wordmark" aria-label="Live Migration Lab">
      <svg viewBox="0 0 44 20" aria-hidden="true">
        <path className="wordmark-source" d="M15.6 5.4a7 7 0 1 0 0 9.2" />
        <path className="wordmark-way" d="M9 10h23M28 6l4 4-4 4" />
        <path className="wordmark-destination" d="M27 5.5V3h14v14H27v-2.5" />
      </svg>
      <span>Live Migration Lab</span>
    </Link>
  );
}
