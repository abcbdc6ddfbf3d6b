/** The whole product as a newcomer meets it: the server of `npm start`, a real browser, and the talk's demo by clicking. */
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
/** Console errors and page errors. */
const browserErrors: string[] = [];

beforeAll(async () => {
  server = await startServer();
  browser = await launchBrowser();
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on('pageerror', (error) => browserErrors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') browserErrors.push(message.text());
  });
}, labSetUpTimeoutMs);

afterAll(async () => {
  await browser.close();
  await server.remove();
});

/** The text of a terminal's xterm.js buffer, scrollback included. */
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

/** The answers to the newest `curl` in a terminal. */
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

test('one click starts two hosts', async () => {
  await page.getByRole('button', { name: /start/i }).first().click();
  await page.locator('[data-phase="ready"]').waitFor({ timeout: stepTimeoutMs });
  for (const host of ['source', 'destination'] as const) {
    await expect.poll(() => terminalText(host), { timeout: stepTimeoutMs }).toContain(`root@${host}`);
  }
});

test(
  'the demo works by clicking, and the lab marks every step done',
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

test('the terminals show the same output as the talk', async () => {
  expect(await curlAnswers('source')).toEqual(['0', '1']);
  expect(await curlAnswers('destination')).toEqual(['2', '3', '2', '2']);
  // For people: the tests do not compare these pictures.
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `test-results/lesson-${colorScheme}.png` });
  }
});

test('a reload restores the session with its steps, outcomes and terminals', async () => {
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

test('a killed server restarts with the same session, shells included', async () => {
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

test('one click returns the hosts and the page to the start of a step', async () => {
  const third = page.locator('[data-step]').nth(2);
  await third.getByRole('button', { name: /^Go back to the start/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Go back' }).click();
  await expect.poll(() => third.getAttribute('data-state'), { timeout: 60_000 }).toBe('open');
  await page.locator('[data-phase="ready"]').waitFor({ timeout: 60_000 });
  expect(await page.locator('[data-step][data-state="passed"]').count()).toBe(2);
  await expect.poll(() => terminalText('source'), { timeout: 30_000 }).toContain('rewound: both hosts');
  await page.screenshot({ path: 'test-results/rewound.png' });
  // The container runs again and continues its old count.
  const second = page.locator('[data-step]').nth(1);
  await runCommand(second.locator('[data-block]').nth(1), stepTimeoutMs);
  await expect.poll(async () => (await curlAnswers('source')).at(-1), { timeout: stepTimeoutMs }).toBe('2');
});

test('fresh hosts start at once and have none of the old files', async () => {
  await page.getByRole('button', { name: 'Session', exact: true }).click();
  await page.getByRole('button', { name: 'Get fresh hosts' }).click();
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

test('a second server refuses to start, says why, and harms nothing', async () => {
  const { exitCode, output } = await server.startSecond();
  expect(output).toContain('already running');
  expect(exitCode).toBe(5);
  await page.locator('[data-phase="ready"][data-connection="open"]').waitFor({ timeout: 30_000 });
});

test('the browser reported no errors except the missing server', () => {
  expect(browserErrors.filter((text) => !/ERR_CONNECTION_REFUSED|WebSocket/.test(text))).toEqual([]);
});

test('stopping the server leaves nothing behind', async () => {
  await server.stop();
  expect(server.processes()).toEqual([]);
  expect(server.sessions()).toEqual([]);
});
