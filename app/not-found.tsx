import Link from 'next/link';
import type { ReactElement } from 'react';
import { PageFrame } from './ui/page-frame';
import './ui/message-page.css';

export default function NotFound(): ReactElement {
  return (
    <PageFrame>
      <div className="message-page">
        <p className="message-code">404</p>
        <h1>There is no page at this address</h1>
        <p>Nothing was migrated here. The lesson may have been renamed since the link was made.</p>
        <p>
          <Link className="button button-primary" href="/">
            See all lessons
          </Link>
        </p>
      </div>
    </PageFrame>
  );
}
