import '@fontsource-variable/archivo/wdth.css';
import '@fontsource-variable/jetbrains-mono/wght.css';
import '@fontsource-variable/source-serif-4/wght.css';
import '@fontsource-variable/source-serif-4/wght-italic.css';
import '@xterm/xterm/css/xterm.css';
import './styles/base.css';
import './styles/controls.css';
import './styles/tokens.css';
import './styles/utilities.css';
import type { Metadata, Viewport } from 'next';
import type { ReactElement, ReactNode } from 'react';

export const metadata: Metadata = {
  title: { default: 'Live Migration Lab', template: '%s · Live Migration Lab' },
  description:
    'A hands-on course on container live migration: CRIU and Podman on two real Linux hosts of your own, in the browser.',
};

export const viewport: Viewport = {
  width: 'device-width',
  initialScale: 1,
  // The on-screen keyboard shrinks the page, so it does not cover the terminal's prompt.
  interactiveWidget: 'resizes-content',
};

export default function RootLayout({ children }: { children: ReactNode }): ReactElement {
  return (
    // The theme script sets an attribute on this element before React starts.
    <html lang="en" suppressHydrationWarning>
      <head>
        {/* Synchronous, because it must run before the first paint: 200 bytes from the same server. */}
        {/* eslint-disable-next-line @next/next/no-sync-scripts */}
        <script src="/theme.js" />
      </head>
      <body>{children}</body>
    </html>
  );
}
