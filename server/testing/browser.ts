/** Chromium for tests and benchmarks. */
import type { Browser } from 'playwright-core';

export async function launchBrowser(): Promise<Browser> {
  // Imported here, so the command line loads it only for benchmarks.
  const { chromium } = await import('playwright-core');
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    // Chromium's sandbox does not work for root. The other flags stop background traffic.
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
  });
}
