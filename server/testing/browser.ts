/** A real browser for tests and benchmarks. */
import type { Browser } from 'playwright-core';

export async function launchBrowser(): Promise<Browser> {
  // Here and not above: the command line, which can run benchmarks, need not load it to start the server.
  const { chromium } = await import('playwright-core');
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    // Chromium's own sandbox does not work for root; the rest keeps it from calling home.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
  });
}
