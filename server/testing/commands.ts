/** A lesson's commands, as a browser test clicks them. */
import type { Locator } from 'playwright-core';

/** What of a click on Run takes longer than this is no waiting for the runner any more. */
const answerTimeoutMs = 30_000;

/**
 * Clicks Run until the command is typed: it may need a value that the one before it brings, and the prompt back.
 * @throws Error when it still is refused after `timeoutMs`
 */
export async function runCommand(command: Locator, timeoutMs: number): Promise<void> {
  const page = command.page();
  const deadline = Date.now() + timeoutMs;
  do {
    await command.getByRole('button', { name: /^Run in / }).click();
    // "sent" until the runner has answered; a second click before that would be a second command.
    const answered = page.locator('[data-run="typed"], [data-run="refused"]');
    await command.and(answered).waitFor({ timeout: answerTimeoutMs });
    if ((await command.getAttribute('data-run')) === 'typed') return;
    // What was asked for before still runs: the page asks what to do, and the learner waits.
    const cancel = page.getByRole('dialog').getByRole('button', { name: 'Cancel' });
    if (await cancel.isVisible()) await cancel.click();
    await page.waitForTimeout(1000);
  } while (Date.now() < deadline);
  throw new Error(`The command was refused: ${(await command.textContent()) ?? ''}`);
}
