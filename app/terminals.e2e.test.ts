/**
 * Terminals on a bad network, in a real browser, on a real pair: the page shows exactly what the hosts wrote, and each key arrives
 * once. A fault proxy sits between browser and gateway.
 */
import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { processIdsOf } from '../server/testing/leftovers';
import { labSetUpTimeoutMs } from '../server/testing/lab';
import { FaultProxy, seededRandom } from '../server/testing/fault-proxy';
import { launchBrowser } from '../server/testing/browser';
import { freePort } from '../server/free-port';
import { startServer, type TestServer } from '../server/testing/server';

type Terminals = NonNullable<typeof window.labTerminals>;

declare global {
  interface Window {
    /** The bytes that xterm has parsed since recording began, by terminal id. Each character is one byte. */
    parsed?: Partial<Record<string, string[]>>;
    /** The page's sockets. */
    sockets: WebSocket[];
  }
}

/** For TCG on a busy machine; an idle machine takes seconds. */
const timeoutMs = 60_000;
/** A lesson with cheap checks, because here the hosts are busy writing floods. */
const lessonId = 'a-counter-moves-house';
const lessonPath = `/lessons/${lessonId}`;

let proxy: FaultProxy;
let server: TestServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
const browserErrors: string[] = [];

/** Runs in the page before its scripts. Records sockets, and parsed output while `window.parsed` exists. */
function observe(): void {
  window.sockets = [];
  window.WebSocket = class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      window.sockets.push(this);
    }
  };
  let terminals: Terminals | undefined;
  const seen = new WeakSet<object>();
  Object.defineProperty(window, 'labTerminals', {
    configurable: true,
    get: () => terminals,
    set: (value: Terminals) => {
      terminals = value;
      for (const [id, terminal] of Object.entries(value)) {
        if (!terminal || seen.has(terminal)) continue;
        seen.add(terminal);
        const write = terminal.write.bind(terminal);
        terminal.write = (data, parsed) => {
          write(data, () => {
            if (window.parsed && typeof data !== 'string') {
              const bytes = Array.from(data, (byte) => String.fromCharCode(byte)).join('');
              (window.parsed[id] ??= []).push(bytes);
            }
            parsed?.();
          });
        };
      }
    },
  });
}

async function openPage(
  inContext: BrowserContext,
  { path = lessonPath, prepare = () => undefined }: { path?: string; prepare?: () => void } = {},
): Promise<Page> {
  const opened = await inContext.newPage();
  await opened.addInitScript(prepare);
  opened.on('pageerror', (error) => browserErrors.push(error.message));
  opened.on('console', (message) => {
    if (message.type() === 'error') browserErrors.push(`${message.text()} (${message.location().url})`);
  });
  await opened.addInitScript(observe);
  await opened.goto(`${server.url}${path}`);
  return opened;
}

const untilConnection = (state: 'open' | 'connecting', on = page, withinMs = timeoutMs) =>
  on.locator(`[data-phase="ready"][data-connection="${state}"]`).waitFor({ timeout: withinMs });

/** A terminal's text, scrollback included. A wrapped line is one line. */
const shown = (id: string, on = page): Promise<string> =>
  on.evaluate((name) => {
    const buffer = window.labTerminals?.[name]?.buffer.active;
    let text = '';
    for (let row = 0; row < (buffer?.length ?? 0); row++) {
      const line = buffer?.getLine(row);
      text += `${line?.isWrapped ? '' : '\n'}${line?.translateToString(true) ?? ''}`;
    }
    return text;
  }, id);

/** The visible screen: text, inverse cells, cursor, and whether it is the normal or the alternate screen. */
const screenOf = (id: string, on = page) =>
  on.evaluate((name) => {
    const terminal = window.labTerminals?.[name];
    if (!terminal) throw new Error(`There is no terminal ${name}.`);
    const { type, viewportY, cursorX, cursorY } = terminal.buffer.active;
    const lines = Array.from({ length: terminal.rows }, (_, row) => {
      const line = terminal.buffer.active.getLine(viewportY + row);
      const cells = Array.from({ length: terminal.cols }, (__, column) => line?.getCell(column)?.isInverse());
      return `${line?.translateToString(true) ?? ''}|${cells.map((inverse) => (inverse ? 'i' : '.')).join('')}`;
    });
    return { type, lines, cursorX, cursorY };
  }, id);

/** Types like a keyboard, all in one turn of the page's event loop. */
const type = (id: string, text: string, on = page): Promise<void> =>
  on.evaluate(
    ([name, keys]) => {
      window.labTerminals?.[name]?.input(keys, true);
    },
    [id, text] as const,
  );

/** Types unless the page has no connection, when it would refuse the keys. @returns whether it accepted them */
const typeIfOnline = (id: string, text: string): Promise<boolean> =>
  page.evaluate(
    ([name, keys]) => {
      const isOpen =
        document.querySelector('[data-connection="open"]') !== null &&
        window.sockets.at(-1)?.readyState === WebSocket.OPEN;
      if (isOpen) window.labTerminals?.[name]?.input(keys, true);
      return isOpen;
    },
    [id, text] as const,
  );

/** Like `expect.poll`, but works in hooks too. @throws Error with the text that was shown instead */
async function untilShown(
  id: string,
  wanted: string | RegExp,
  on = page,
  withinMs = timeoutMs,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const text = await shown(id, on);
    if (typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text)) return;
    if (Date.now() > deadline) throw new Error(`No ${String(wanted)} but: ${text.slice(-500)}`);
    await on.waitForTimeout(100);
  }
}

/** Waits until a terminal is on the normal or the alternate screen. @throws Error with the text that was shown instead */
async function untilOnScreen(id: string, wanted: 'normal' | 'alternate'): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while ((await screenOf(id)).type !== wanted) {
    if (Date.now() > deadline) throw new Error(`Not on the ${wanted} screen: ${await shown(id)}`);
    await page.waitForTimeout(100);
  }
}

/** Runs a command at the prompt and waits for its end. The typed text does not contain the end mark. */
async function run(id: string, command: string, on = page): Promise<void> {
  const mark = Math.random().toString(36).slice(2, 8);
  await type(id, `${command}; echo end-"of"-${mark}\r`, on);
  await untilShown(id, `end-of-${mark}`, on);
}

const record = (on = page): Promise<void> =>
  on.evaluate(() => {
    window.parsed = {};
  });
/** The recorded output without the shell's marks and colours, and without the return after bash ends its paste mode. */
const recorded = async (id: string, on = page): Promise<string> => {
  const bytes = await on.evaluate((name) => (window.parsed?.[name] ?? []).join(''), id);
  return stripVTControlCharacters(bytes.replaceAll('\x1b[?2004l\r', ''));
};
const stopRecording = (on = page): Promise<void> =>
  on.evaluate(() => {
    delete window.parsed;
  });

/** Defines `count LINES [SECONDS]` in a host's shell: numbered lines, each with a check of its number, and a pause after each. */
const defineCount =
  `count() { perl -e '$|=1; for ($i=1; $i<=$ARGV[0]; $i++) { printf "%08d %08x\\n", $i, ($i*2654435761)&0xffffffff; ` +
  `select(undef,undef,undef,$ARGV[1]) if $ARGV[1] }' "$@"; }`;
const countedLine = (number: number): string =>
  `${String(number).padStart(8, '0')} ${((BigInt(number) * 2654435761n) & 0xffffffffn).toString(16).padStart(8, '0')}`;
const countedLines = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => countedLine(from + index));

/** All lines from the first to the last numbered one, so the test sees extra lines as well as missing ones. */
function counted(lines: readonly string[]): string[] {
  const isCounted = (line: string) => /^\d{8} [0-9a-f]{8}$/.test(line);
  return lines.slice(lines.findIndex(isCounted), lines.findLastIndex(isCounted) + 1);
}

async function expectCounted(upTo: number): Promise<void> {
  await untilShown('source', countedLine(upTo));
  expect(counted((await recorded('source')).split('\r\n'))).toEqual(countedLines(1, upTo));
}

beforeAll(async () => {
  const port = await freePort();
  proxy = await FaultProxy.listen(port);
  server = await startServer({
    port,
    environment: { LAB_PUBLIC_ORIGIN: `http://localhost:${proxy.port}` },
  });
  browser = await launchBrowser();
  context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  page = await openPage(context);
  await page.getByRole('button', { name: /start/i }).first().click();
  await untilConnection('open', page, 240_000);
  for (const host of ['source', 'destination']) {
    await untilShown(host, `root@${host}`, page, 240_000);
    await run(host, defineCount);
  }
}, labSetUpTimeoutMs);

afterAll(async () => {
  await browser.close();
  await server.remove();
  await proxy.close();
});

beforeEach(async () => {
  proxy.heal();
  await untilConnection('open');
  await run('source', 'clear');
});

test('the page parses exactly the bytes that a host writes', async () => {
  await record();
  await run('source', 'count 20000');
  await expectCounted(20_000);
  await stopRecording();
});

test('repeated cuts of the connection neither lose nor repeat output', async () => {
  await record();
  await type('source', 'count 300 0.02\r');
  for (let cut = 0; cut < 4; cut++) {
    await page.waitForTimeout(900);
    const before = proxy.accepted;
    proxy.cut();
    await expect.poll(() => proxy.accepted, { timeout: timeoutMs }).toBeGreaterThan(before);
    await untilConnection('open');
  }
  await expectCounted(300);
  await stopRecording();
});

test('keys typed while connections are cut arrive once and in order', async () => {
  await type('source', 'stty -echo; cat > /tmp/typed\r');
  await page.waitForTimeout(1000);
  const random = seededRandom(7);
  let typed = '';
  const deadline = Date.now() + timeoutMs;
  for (let key = 0; key < 120 && Date.now() < deadline;) {
    if (random() < 0.05) proxy.cut();
    // Only accepted keys should arrive: without a connection, the page refuses them.
    const letter = String.fromCharCode(97 + (key % 26));
    const taken = await typeIfOnline('source', letter);
    if (taken) {
      typed += letter;
      key += 1;
    }
    await page.waitForTimeout(taken ? 20 : 100);
  }
  expect(typed).toHaveLength(120);
  await untilConnection('open');
  await type('source', '\r\x04');
  await run('source', 'stty echo; echo "<$(cat /tmp/typed)>"');
  await untilShown('source', `<${typed}>`);
});

test('with 300 ms of latency and every twentieth connection lost, no output is lost or repeated', async () => {
  Object.assign(proxy.faults, { roundTripMs: 300, loss: 0.05 });
  await record();
  const accepted = proxy.accepted;
  await expect.poll(() => typeIfOnline('source', 'count 750 0.02\r'), { timeout: timeoutMs }).toBe(true);
  await untilShown('source', countedLine(750), page, 120_000);
  proxy.heal();
  await expectCounted(750);
  await stopRecording();
  // The seed must lose some connections, or this test shows nothing.
  expect(proxy.accepted).toBeGreaterThan(accepted);
});

test(
  'on 20 KB/s a flood in one terminal does not delay a key in the other',
  { tags: ['alone'] },
  async () => {
    proxy.faults.bytesPerSecond = 20_000;
    await run('destination', 'clear');
    await type('source', 'yes a-flood\r');
    await page.waitForTimeout(3000);
    const echoMs = await page.evaluate(async () => {
      const terminal = window.labTerminals?.destination;
      if (!terminal) throw new Error('There is no destination.');
      const times: number[] = [];
      for (const key of 'abcdefghij') {
        const begun = performance.now();
        const line = () => {
          const { active } = terminal.buffer;
          return active.getLine(active.baseY + active.cursorY)?.translateToString(true) ?? '';
        };
        const before = line();
        terminal.input(key, true);
        while (line() !== before + key) await new Promise((resume) => setTimeout(resume, 5));
        times.push(performance.now() - begun);
      }
      return times.sort((a, b) => a - b);
    });
    await type('destination', '\x15');
    await type('source', '\x03');
    proxy.heal();
    // Data in flight may take up to 400 ms on such a connection. A busy machine delays one or two keys.
    expect(echoMs[4]).toBeLessThan(700);
    expect(echoMs[7]).toBeLessThan(1500);
  },
);

test('the page notices a silent network, and afterwards no output is missing', async () => {
  await record();
  await type('source', 'count 1200 0.02\r');
  await untilShown('source', countedLine(50));
  proxy.swallow();
  await untilConnection('connecting');
  proxy.heal();
  await untilConnection('open');
  await expectCounted(1200);
  await stopRecording();
});

test('after the gateway is killed in a flood, the end of the flood appears without a gap', async () => {
  const lines = 300_000;
  await record();
  await type('source', `count ${lines}; echo end-"of"-flood\r`);
  await untilShown('source', /000\d{5} /);
  await server.kill();
  await untilConnection('connecting');
  const before = counted((await recorded('source')).split('\r\n'));
  await stopRecording();
  await server.start();
  // The output before the kill must be an exact prefix.
  expect(before.length).toBeGreaterThan(0);
  expect(before).toEqual(countedLines(1, before.length));
  await untilConnection('open');
  await untilShown('source', 'end-of-flood', page, 120_000);
  const after = counted((await shown('source')).split('\n'));
  // Without the missing bytes, the server sends the screen with 160,000 cells of scrollback (server/runner/terminal/screen.ts).
  expect(after.length).toBeGreaterThan(1000);
  expect(after).toEqual(countedLines(lines - after.length + 1, lines));
});

describe('a reload in the middle of', () => {
  test.each([
    // Ctrl-L, because vim loses the message below its lines when it redraws for a page of another size.
    ['vim', 'vim -u NONE /tmp/lines', '250G\x0cihalf a line', '\x1b:q!\r'],
    // The hosts' LESS keeps less on the normal screen.
    ['less', 'LESS= less /tmp/lines', '/123\r', 'q'],
    // Not through tmux's command line, which takes fast keys for a paste and gives them to the pane.
    ['tmux', 'tmux -f /dev/null new "bash --norc"', '\x02%echo in-the-"second"-pane\r', 'tmux kill-server\r'],
  ])('%s restores its screen, and the earlier output behind it', async (_, command, keys, quit) => {
    await run('source', 'seq 1000 > /tmp/lines; echo before-"it"-began');
    await type('source', `${command}\r`);
    await untilOnScreen('source', 'alternate');
    await page.waitForTimeout(1000);
    await type('source', keys);
    await page.waitForTimeout(2000);
    const before = await screenOf('source');
    await page.reload();
    await untilConnection('open');
    await expect.poll(() => screenOf('source'), { timeout: timeoutMs }).toEqual(before);
    await type('source', quit);
    await untilOnScreen('source', 'normal');
    await untilShown('source', 'before-it-began');
    await run('source', 'echo and-after');
  });
});

test('another tab and another device show the same terminal, and each key on either arrives once', async () => {
  const tab = await openPage(context);
  // The same size as the other: when the size changes during a key, bash redraws its line.
  const elsewhere = await browser.newContext({
    storageState: await context.storageState(),
    viewport: page.viewportSize(),
  });
  const device = await openPage(elsewhere);
  for (const other of [tab, device]) {
    await untilConnection('open', other);
    await untilShown('source', /root@source/, other);
  }
  await type('source', 'echo one', tab);
  await untilShown('source', /echo one/, device);
  await type('source', '-and-', device);
  await untilShown('source', /echo one-and-/, page);
  await type('source', 'two\r', page);
  for (const any of [page, tab, device]) await untilShown('source', /^one-and-two$/m, any);
  for (const any of [page, tab, device]) {
    expect((await shown('source', any)).match(/^one-and-two$/gm)).toHaveLength(1);
  }
  await tab.close();
  await elsewhere.close();
});

test('a terminal uses WebGL with a graphics card, and the DOM without one or after losing it', async () => {
  const terminal = (on: Page) => on.getByLabel('Host source').locator('.terminal-screen');
  // This machine has WebGL, but in software.
  await terminal(page).and(page.locator('[data-renderer="dom"]')).waitFor();
  const tab = await openPage(context, {
    prepare: () => {
      interface Asked {
        getParameter: (this: WebGL2RenderingContext, name: GLenum) => unknown;
      }
      const asked = WebGL2RenderingContext.prototype as Asked;
      const { getParameter } = asked;
      asked.getParameter = function (name) {
        const isDriver = name === 0x9246; // UNMASKED_RENDERER_WEBGL
        return isDriver ? 'a graphics card' : getParameter.call(this, name);
      };
    },
  });
  await untilConnection('open', tab);
  await terminal(tab).and(tab.locator('[data-renderer="webgl"]')).waitFor();
  await run('source', 'echo drawn-"by-it"', tab);
  await terminal(tab).evaluate((element) => {
    for (const canvas of element.querySelectorAll('canvas')) {
      canvas.getContext('webgl2')?.getExtension('WEBGL_lose_context')?.loseContext();
    }
  });
  // xterm waits three seconds for the context to return.
  await terminal(tab).and(tab.locator('[data-renderer="dom"]')).waitFor();
  await terminal(tab).locator('.xterm-rows', { hasText: 'drawn-by-it' }).waitFor();
  await run('source', 'echo and-"without"', tab);
  await terminal(tab).locator('.xterm-rows', { hasText: 'and-without' }).waitFor();
  await tab.close();
});

test('when the network fails during podman logs -f, another browser continues without missing or repeated output', async () => {
  const lines = 400;
  await run('source', 'mkdir -p /tmp/talker/bin; cp /bin/busybox /tmp/talker/bin');
  const program =
    `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); printf "%08d %08x\\n" $i $((i*2654435761 & 0xffffffff)); ` +
    'usleep 30000; done; sleep 1000';
  await page.getByRole('button', { name: 'Session', exact: true }).click();
  await page.getByRole('button', { name: 'Continue in another browser' }).click();
  const dialog = page.getByRole('dialog', { name: 'Continue in another browser' });
  await dialog.getByRole('button', { name: 'Create link' }).click();
  const link = await dialog.getByRole('textbox', { name: 'Link' }).inputValue();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await run(
    'source',
    `podman run -d --name talker --security-opt label=disable --rootfs /tmp/talker /bin/busybox sh -c '${program}'`,
  );
  await type('source', 'podman logs -f talker\r');
  await untilShown('source', countedLine(20));
  proxy.swallow();
  await context.setOffline(true);
  proxy.heal();
  await untilConnection('connecting');

  const elsewhere = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const there = await openPage(elsewhere, { path: new URL(link).pathname });
  await there.getByRole('button', { name: 'Continue here' }).click();
  await untilConnection('open', there);
  const numbered = async (on: Page) => counted((await shown('source', on)).split('\n'));
  await untilShown('source', countedLine(lines), there);
  expect(await numbered(there)).toEqual(countedLines(1, lines));
  await type('source', '\x03', there);
  await run('source', 'echo typed-"elsewhere"', there);

  await context.setOffline(false);
  await untilConnection('open');
  await untilShown('source', 'typed-elsewhere');
  expect(await numbered(page)).toEqual(countedLines(1, lines));
  // The link works only once.
  const late = await openPage(await browser.newContext(), { path: new URL(link).pathname });
  await late.getByRole('button', { name: 'Continue here' }).click();
  await late.getByText('This link was used already').waitFor();
  await late.context().close();
  await elsewhere.close();
  await run('source', 'podman rm --force --time 0 talker');
});

test('a viewer sees the terminal and cannot change it, until the link is revoked', async () => {
  const grant = await page.evaluate(async () => {
    const response = await fetch('/api/session/grant', { method: 'POST' });
    return ((await response.json()) as { grant: string }).grant;
  });
  const stranger = await browser.newContext();
  const watching = await openPage(stranger, { path: `/watch/${grant}` });
  await untilConnection('open', watching);
  await untilShown('source', /root@source/, watching);
  await type('source', 'echo a-stranger-typed-this\r', watching);
  // Our page would not send this; a stranger's page may.
  const code = await watching.evaluate(
    () =>
      new Promise<number>((closed) => {
        const socket = window.sockets.at(-1);
        socket?.addEventListener('close', (event) => {
          closed(event.code);
        });
        socket?.send(Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x78));
      }),
  );
  expect(code).toBe(4403);
  await watching.reload();
  await untilConnection('open', watching);
  await run('source', 'echo shown-to-"everybody"');
  await untilShown('source', 'shown-to-everybody', watching);
  expect(await shown('source')).not.toContain('a-stranger-typed-this');
  await page.evaluate(() => fetch('/api/session/grant', { method: 'DELETE' }));
  await watching.locator('[data-connection="closed"]').waitFor({ timeout: timeoutMs });
  await watching.reload();
  await watching.getByText('This link shows nothing').first().waitFor({ timeout: timeoutMs });
  await run('source', 'echo still-"mine"');
  await stranger.close();
});

test('a terminal’s recording is saved as a file that asciinema plays', async () => {
  await run('source', 'echo kept-"in-the-recording"');
  await page.getByRole('button', { name: 'More actions for source' }).click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download recording' }).click(),
  ]);
  expect(download.suggestedFilename()).toBe(`${lessonId}-source.cast`);
  const [header = '', ...events] = readFileSync(await download.path(), 'utf8')
    .trimEnd()
    .split('\n');
  expect(JSON.parse(header)).toMatchObject({ version: 2 });
  const outputs = events.map((line) => JSON.parse(line) as [at: number, kind: string, text: string]);
  expect(outputs.map(([, , text]) => text).join('')).toContain('kept-in-the-recording');
  const times = outputs.map(([at]) => at);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test('Ctrl-C stops a flood at once', { tags: ['alone'] }, async () => {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    await type('source', 'yes a-flood\r');
    await untilShown('source', /a-flood\na-flood/);
    await page.waitForTimeout(1000);
    times.push(
      await page.evaluate(
        () =>
          new Promise<number>((stopped) => {
            const terminal = window.labTerminals?.source;
            const begun = performance.now();
            const subscription = terminal?.onWriteParsed(() => {
              const { active } = terminal.buffer;
              const line = active.getLine(active.baseY + active.cursorY)?.translateToString(true) ?? '';
              if (!line.startsWith('root@source')) return;
              subscription?.dispose();
              stopped(performance.now() - begun);
            });
            terminal?.input('\x03', true);
          }),
      ),
    );
  }
  console.log(`Ctrl-C to prompt: ${times.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  expect(times.toSorted((a, b) => a - b)[2]).toBeLessThan(250);
});

test(
  'a long flood does not increase the memory of runner, gateway or page',
  { tags: ['alone'] },
  async () => {
    const devtools = await context.newCDPSession(page);
    await devtools.send('Performance.enable');
    const proportionalMiB = (pid: number) =>
      Number(/^Pss: +(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) / 1024;
    const [runner = 0] = processIdsOf(server.stateDir, process.execPath).filter(
      (pid) => pid !== server.pid(),
    );
    const measure = async () => {
      await devtools.send('HeapProfiler.collectGarbage');
      const { metrics } = await devtools.send('Performance.getMetrics');
      const heap = metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? NaN;
      return [proportionalMiB(runner), proportionalMiB(server.pid() ?? 0), heap / 2 ** 20];
    };
    for (const host of ['source', 'destination']) await type(host, 'yes a-flood-of-some-length\r');
    // Wait until scrollback and buffers are full.
    await page.waitForTimeout(10_000);
    const before = await measure();
    await page.waitForTimeout(15_000);
    const after = await measure();
    for (const host of ['source', 'destination']) await type(host, '\x03');
    const show = (all: number[]) => all.map((mebibytes) => mebibytes.toFixed(0)).join(', ');
    console.log(`MiB of runner, gateway, page: ${show(before)}; 15 s later: ${show(after)}`);
    for (const [index, mebibytes] of after.entries()) {
      expect(mebibytes - (before[index] ?? 0)).toBeLessThan(30);
      expect(mebibytes).toBeLessThan(250);
    }
  },
);

test('the browser reported only the errors that these tests caused', () => {
  // Requests that failed with a cut connection, a killed server or a restarting server, and the revoked link.
  const expected = /Failed to load resource: net::|WebSocket|a status of (403|50[234]) /;
  const unexpected = browserErrors.filter((text) => !expected.test(text));
  expect(unexpected, unexpected.join('; ')).toEqual([]);
});
