import type { ReactElement, ReactNode } from 'react';
import { ThemeChoice } from './theme-choice';
import { Wordmark } from './wordmark';
import './page-frame.css';

/** The frame of every page except lessons: wordmark above, credits below. */
export function PageFrame({ children }: { children: ReactNode }): ReactElement {
  return (
    <div className="page">
      <a className="skip-link" href="#content">
        Skip to content
      </a>
      <header className="page-header">
        <Wordmark />
        <ThemeChoice />
      </header>
      <main id="content">{children}</main>
      <footer className="page-footer">
        <p>
          The course follows Adrian Reber’s talk <em>Container Live Migration</em> (Tübix, 6 July 2019):{' '}
          <a href="https://lisas.de/~adrian/container-live-migration-article.pdf">his article about it</a>,{' '}
          <a href="https://lisas.de/~adrian/posts/2019-Apr-10-criu-and-selinux.html">
            his notes on CRIU and SELinux
          </a>
          , <a href="https://asciinema.org/a/249918">his recording of the demo</a>.
        </p>
        <p>
          Built on <a href="https://criu.org/Podman">CRIU</a>, Podman, QEMU and Debian. Apache License 2.0;
          typefaces under the SIL Open Font License.
        </p>
      </footer>
    </div>
  );
}
