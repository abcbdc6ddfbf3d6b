'use client';

import Link from 'next/link';
import type { ReactElement } from 'react';
import { PageFrame } from './ui/page-frame';
import './ui/message-page.css';

export default function PageError({ error, retry }: { error: Error; retry: () => void }): ReactElement {
  return (
    <PageFrame>
      <div className="message-page">
        <p className="message-code">Error</p>
        <h1>This page stopped working</h1>
        <p>Your hosts are not affected: they run on the server, and the page reconnects to them.</p>
        <pre className="message-detail">{error.message}</pre>
        <p className="button-row">
          <button className="button button-primary" type="button" onClick={retry}>
            Retry
          </button>
          <Link className="button" href="/">
            See all lessons
          </Link>
        </p>
      </div>
    </PageFrame>
  );
}
