/** The whole product as a newcomer meets it: `npm start`'s server, a real browser, the demo of the talk by clicking. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { labSetUpTimeoutMs } from '../server/testing/lab';
import { launchBrowser } from '../server/testing/browser';
import { startServer, type TestServer } from '../server/testing/server';
import { runCommand } from '../server/testing/commands';

/** Under TCG a JVM starts, is dumped or restored in 10 to 30 s on an idle machine. */
const stepTimeoutMs = 240_000;

let server: TestServer;
let browser: Browser;
let page: Page;
/** Anything that a page complains of. */
const complaints: string[] = [];

beforeAll(async () => {
  server = await startServer();
  browser = await launchBrowser();
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
}, labSetUpTimeoutMs);

afterAll(async () => {
  await browser.close();
  await server.remove();
});

/** Text that a terminal's xterm.js has in its buffer, scrollback included. */
const terminalText = (host: 'source' | 'destination'): Promise<string> =>
  page.evaluate((name) => {
    const buffer = window.labTerminals?.[name].buffer.active;
    if (!buffer) return '';
    const lines = Array.from({ length: buffer.length }, (_, row) => buffer.getLine(row));
    // A wrapped line is one line to a reader.
    return lines.reduce(
      (text, line) => text + (line?.isWrapped ? '' : '\n') + (line?.translateToString(true) ?? ''),
      '',
    );
  }, host);

/** What the newest `curl` in a terminal has answered. */
async function curlAnswers(host: 'source' | 'destination'): Promise<string[]> {
  const lines = (await terminalText(host)).split('\n');
  return lines.flatMap((line, index) =>
    /# curl \S+\/helloworld\/$/.test(line) ? [lines[index + 1] ?? ''] : [],
  );
}

test('the home page leads to the demo', async () => {
  await page.goto(server.url);
  expect(await page.title()).toContain('Live Migration Lab');
  await page.locator('a[href="/lessons/live-migration"]').first().click();
  await page.waitForURL('**/lessons/live-migration');
});

test('one click starts two hosts of one’s own', async () => {
  await page.getByRole('button', { name: /start/i }).first().click();
  await page.locator('[data-phase="ready"]').waitFor({ timeout: stepTimeoutMs });
  for (const host of ['source', 'destination'] as const) {
    await expect.poll(() => terminalText(host), { timeout: stepTimeoutMs }).toContain(`root@${host}`);
  }
});

test(
  'the demo works by clicking, every step marks itself done',
  async () => {
    const steps = page.locator('[data-step]');
    const count = await steps.count();
    expect(count).toBeGreaterThan(3);
    for (let index = 0; index < count; index++) {
      const step = steps.nth(index);
      expect(await step.getAttribute('data-state')).toBe('open');
      const blocks = step.locator('[data-block]');
      for (let block = 0; block < (await blocks.count()); block++) {
        const command = blocks.nth(block);
        await runCommand(command, stepTimeoutMs);
      }
      await expect.poll(() => step.getAttribute('data-state'), { timeout: stepTimeoutMs }).toBe('passed');
    }
  },
  15 * 60_000,
);

test('the terminals show what the talk’s screens show', async () => {
  expect(await curlAnswers('source')).toEqual(['0', '1']);
  expect(await curlAnswers('destination')).toEqual(['2', '3', '2', '2']);
  // For whoever wants to look at them.
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `test-results/lesson-${colorScheme}.png` });
  }
});

test('a reload finds the session, its steps, its commands’ outcomes and its terminals again', async () => {
  const before = await terminalText('destination');
  const outcomes = page.locator('[data-block] .command-result');
  const outcomesBefore = await outcomes.allTextContents();
  expect(outcomesBefore[0]).toMatch(/^Done in source after /);
  await page.reload();
  await page.locator('[data-phase="ready"][data-connection="open"]').waitFor({ timeout: 30_000 });
  await expect
    .poll(() => terminalText('destination'), { timeout: 30_000 })
    .toContain(before.trim().slice(-200));
  expect(await page.locator('[data-step][data-state="open"]').count()).toBe(0);
  await expect.poll(() => outcomes.allTextContents(), { timeout: 30_000 }).toEqual(outcomesBefore);
});

test('a server that was killed comes back to the same session, shells and all', async () => {
  await page.locator('[data-pane="source"] .xterm-helper-textarea').focus();
  await page.keyboard.type('kept=in-this-shell\n');
  await expect.poll(() => terminalText('source'), { timeout: 30_000 }).toMatch(/kept=in-this-shell\n.*#\s*$/);
  await server.kill();
  await page.locator('[data-connection="connecting"]').waitFor({ timeout: 30_000 });
  await server.start();
  await page.locator('[data-phase="ready"][data-connection="open"]').waitFor({ timeout: 60_000 });
  await page.locator('[data-pane="source"] .xterm-helper-textarea').focus();
  await page.keyboard.type('echo still-$kept\n');
  await expect.poll(() => terminalText('source'), { timeout: 60_000 }).toContain('still-in-this-shell');
});

test('a step’s beginning is a click away: the hosts and the page go back to it', async () => {
  const third = page.locator('[data-step]').nth(2);
  await third.getByRole('button', { name: /^Go back to the start/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Go back' }).click();
  await expect.poll(() => third.getAttribute('data-state'), { timeout: 60_000 }).toBe('open');
  await page.locator('[data-phase="ready"]').waitFor({ timeout: 60_000 });
  expect(await page.locator('[data-step][data-state="passed"]').count()).toBe(2);
  await expect.poll(() => terminalText('source'), { timeout: 30_000 }).toContain('time went back');
  await page.screenshot({ path: 'test-results/rewound.png' });
  // The container runs again, and has counted to where it was.
  const second = page.locator('[data-step]').nth(1);
  await runCommand(second.locator('[data-block]').nth(1), stepTimeoutMs);
  await expect.poll(async () => (await curlAnswers('source')).at(-1), { timeout: stepTimeoutMs }).toBe('2');
});

test('fresh hosts come at once and know nothing', async () => {
  await page.getByRole('button', { name: 'Session', exact: true }).click();
  await page.getByRole('button', { name: 'Fresh hosts' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Get fresh hosts' }).click();
  await expect
    .poll(() => page.locator('[data-step][data-state="passed"]').count(), { timeout: 60_000 })
    .toBe(0);
  await page.locator('[data-phase="ready"][data-connection="open"]').waitFor({ timeout: 60_000 });
  await page.locator('[data-pane="source"] .xterm-helper-textarea').focus();
  await page.keyboard.type('ls /tmp/chkpt.tar.gz; echo looked-"up"\n');
  await expect.poll(() => terminalText('source'), { timeout: 60_000 }).toContain('looked-up');
  expect(await terminalText('source')).toContain('No such file');
});

test('a second server beside it says what is wrong and harms nothing', async () => {
  const { exitCode, output } = await server.startSecond();
  expect(output).toContain('already running');
  expect(exitCode).toBe(5);
  await page.locator('[data-phase="ready"][data-connection="open"]').waitFor({ timeout: 30_000 });
});

test('nothing was wrong in the browser but the server’s absence', () => {
  expect(complaints.filter((text) => !/ERR_CONNECTION_REFUSED|WebSocket/.test(text))).toEqual([]);
});

test('stopping the server leaves nothing behind', async () => {
  await server.stop();
  expect(server.processes()).toEqual([]);
  expect(server.sessions()).toEqual([]);
});
