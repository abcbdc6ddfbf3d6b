/** Everything around the commands, in a real browser: questions, recordings, figures, the course page. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labSetUpTimeoutMs } from '../server/testing/lab';
import { launchBrowser } from '../server/testing/browser';
import { startServer, type TestServer } from '../server/testing/server';
import { runCommand } from '../server/testing/commands';

/** Under TCG a JVM starts in 10 to 30 s on an idle machine. */
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

const lessonUrl = (): string => `${server.url}/lessons/live-migration`;

test('the course’s page leads to the lessons, by parts', async () => {
  await page.goto(`${server.url}/lessons`);
  const part = page.locator('section', { has: page.getByRole('heading', { name: '6 The demo' }) });
  await part.getByRole('link', { name: 'A container moves to another machine' }).click();
  await page.waitForURL('**/lessons/live-migration');
});

test('a lesson says what it is for and where its claims come from', async () => {
  const start = page.getByRole('region', { name: 'About this lesson' });
  expect(await start.locator('li').count()).toBeGreaterThan(0);
  const sources = page.getByRole('region', { name: 'Sources' });
  expect(await sources.getByRole('link').first().getAttribute('href')).toMatch(/^https:\/\//);
});

test('a learner can answer a question with the keyboard alone, and a screen reader reads the verdict', async () => {
  const question = page.locator('form.quiz').first();
  const options = question.getByRole('radio');
  const status = question.getByRole('status');
  // Wrong first: the second option.
  await options.nth(0).focus();
  await page.keyboard.press('ArrowDown');
  expect(await options.nth(1).isChecked()).toBe(true);
  await page.keyboard.press('Enter');
  expect(await status.textContent()).toBe('Wrong. Try another answer.');
  const reason = await options.nth(1).getAttribute('aria-describedby');
  expect(await page.locator(`[id="${reason ?? ''}"]`).textContent()).toMatch(/^Wrong\. .+/);
  expect(await options.nth(0).getAttribute('aria-describedby')).toBeNull();
  await options.nth(1).focus();
  await page.keyboard.press('ArrowUp');
  expect(await status.textContent()).toBe('');
  await page.keyboard.press('Enter');
  expect(await status.textContent()).toBe('Correct.');
  // Now the page explains the other options too.
  expect(await question.locator('.quiz-explanation').count()).toBe(await options.count());
});

test('a figure has the colours of its page’s theme', async () => {
  const figure = page.locator('.figure').first();
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const shown = figure.locator('img:visible');
    await expect.poll(() => shown.count()).toBe(1);
    await shown.scrollIntoViewIfNeeded();
    await expect
      .poll(() => shown.evaluate((image: HTMLImageElement) => image.naturalWidth))
      .toBeGreaterThan(0);
    expect(await shown.getAttribute('src')).toContain(`/${colorScheme}/`);
    expect((await shown.getAttribute('alt'))?.length).toBeGreaterThan(20);
    await page.screenshot({ path: `test-results/figure-${colorScheme}.png` });
  }
  const svg = await (await page.request.get(`${lessonUrl()}/figures/dark/in-time.svg`)).text();
  expect(svg).toContain('@media all');
  expect((await page.request.get(`${lessonUrl()}/figures/dark/lesson.mdx`)).status()).toBe(404);
});

test('each command shows its output from the lesson’s test', async () => {
  const output = page.locator('[data-step]').nth(1).locator('details.expected');
  await output.last().locator('summary').click();
  expect(await output.last().locator('pre').textContent()).toBe('1');
});

test('the recording plays without hosts', async () => {
  await page.getByRole('button', { name: 'Watch a recording of the lesson' }).click();
  const player = page.getByRole('region', { name: 'Recording of this lesson' });
  await player.getByRole('button', { name: 'Pause' }).click();
  const source = player.locator('.player-terminal[data-host="source"] .xterm-rows');
  const place = player.getByRole('slider');
  await place.focus();
  await page.keyboard.press('End');
  await expect.poll(() => source.textContent()).toContain('container_t');
  await page.screenshot({ path: 'test-results/player.png' });
  await page.keyboard.press('Home');
  await expect.poll(() => source.textContent()).not.toContain('container_t');
  // The last step uses only the other host.
  const step = player.getByRole('combobox').first();
  await step.selectOption({ label: (await step.locator('option').last().textContent()) ?? '' });
  await player.getByRole('button', { name: /Pause|Play/ }).click();
  const destination = player.locator('.player-terminal[data-host="destination"] .xterm-rows');
  await place.focus();
  await page.keyboard.press('End');
  await expect.poll(() => destination.textContent()).toContain('curl');
  await player.getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Start your two hosts' }).waitFor();
});

test(
  'the course page shows finished steps',
  async () => {
    await page.getByRole('button', { name: 'Start your two hosts' }).click();
    await page.locator('[data-phase="ready"]').waitFor({ timeout: stepTimeoutMs });
    const step = page.locator('[data-step]').first();
    const command = step.locator('[data-block]').first();
    await runCommand(command, stepTimeoutMs);
    await expect.poll(() => step.getAttribute('data-state'), { timeout: stepTimeoutMs }).toBe('passed');
    await page.goto(`${server.url}/lessons`);
    await expect
      .poll(() => page.locator('[data-done="some"]').textContent(), { timeout: 10_000 })
      .toMatch(/, 1 done$/);
    await page.screenshot({ path: 'test-results/course.png' });
  },
  3 * stepTimeoutMs,
);

test('the browser reported no errors', () => {
  expect(browserErrors).toEqual([]);
});
