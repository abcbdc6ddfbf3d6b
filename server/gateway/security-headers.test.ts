import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inlineScriptSources, SecurityHeaders } from './security-headers';

const hash = (script: string) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`;

let site: string;
let headers: SecurityHeaders;

beforeAll(async () => {
  site = await mkdtemp(join(tmpdir(), 'lab-site-'));
  for (const name of ['index', 'lessons/one', '_not-found']) {
    const file = join(site, '.next/server/app', `${name}.html`);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `<html><script src="/x.js"></script><script>${name}</script></html>`);
  }
  headers = await SecurityHeaders.read(site);
});
afterAll(async () => {
  await rm(site, { recursive: true });
});

function answerTo(url: string, said: Record<string, string> = {}) {
  const request = new IncomingMessage(new Socket());
  request.url = url;
  Object.assign(request.headers, said);
  const response = new ServerResponse(request);
  headers.forPage(request, response);
  return { request, policy: String(response.getHeader('content-security-policy')) };
}

test('a page’s scripts are known by their hashes', () => {
  const html =
    '<script src="/a.js" async=""></script><script id="x">\n1 < 2\n</script><script>3</script><script>3</script>';
  expect(inlineScriptSources(html)).toEqual([hash('\n1 < 2\n'), hash('3')]);
});

test.each([
  ['/', ['index', '_not-found']],
  ['/?utm=x', ['index', '_not-found']],
  ['/lessons/one', ['lessons/one', '_not-found']],
  ['/lessons/one?_rsc=1', ['lessons/one', '_not-found']],
  ['/lessons/two', ['_not-found']],
  ['//', ['_not-found']],
])('%s may run its own scripts and those of pages that any address may show', (url, scripts) => {
  const { policy } = answerTo(url);
  const found = [...policy.matchAll(/'sha256-[^']+'/g)].map(([source]) => source);
  expect(found).toEqual(scripts.map(hash));
});

test('the framework is told the nonce that the browser is told, not one that the browser told', () => {
  const chosen = "script-src 'nonce-Y2hvc2Vu'";
  const { request, policy } = answerTo('/', {
    'content-security-policy': chosen,
    'content-security-policy-report-only': chosen,
  });
  expect(policy).toMatch(/'nonce-[\w+/]{22}=='/);
  expect(request.headers['content-security-policy']).toBe(policy);
  expect(request.headers['content-security-policy-report-only']).toBeUndefined();
  expect(answerTo('/').policy).not.toBe(policy);
});
