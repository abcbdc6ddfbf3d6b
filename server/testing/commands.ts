/** Runs a lesson's commands in browser tests. */
import type { Locator } from 'playwright-core';

/** The runner answers a click on Run within this time. */
const answerTimeoutMs = 30_000;

/**
 * Clicks Run until the runner types the command. It may refuse while the prompt is not back or a value from an earlier command is
 * missing.
 * @throws Error when it still refuses after `timeoutMs`
 */
export async function runCommand(command: Locator, timeoutMs: number): Promise<void> {
  const page = command.page();
  const deadline = Date.now() + timeoutMs;
  do {
    await command.getByRole('button', { name: /^Run in / }).click();
    // The state is "sent" until the runner answers; a second click before that would run a second command.
    const answered = page.locator('[data-run="typed"], [data-run="refused"]');
    await command.and(answered).waitFor({ timeout: answerTimeoutMs });
    if ((await command.getAttribute('data-run')) === 'typed') return;
    // The previous command still runs: the page asks what to do, and the test chooses to wait.
    const cancel = page.getByRole('dialog').getByRole('button', { name: 'Cancel' });
    if (await cancel.isVisible()) await cancel.click();
    await page.waitForTimeout(1000);
  } while (Date.now() < deadline);
  throw new Error(`The runner still refuses the command: ${(await command.textContent()) ?? ''}`);
}
