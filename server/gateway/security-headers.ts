/** What browsers are told to refuse on this site's pages, whatever gets into their HTML. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';

/** For every answer. Features that no page uses are switched off by name, because there is no word for all. */
const everywhere: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  // A page's address may hold a grant, which is nobody else's business.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': [
    'accelerometer',
    'camera',
    'display-capture',
    'geolocation',
    'gyroscope',
    'hid',
    'magnetometer',
    'microphone',
    'midi',
    'payment',
    'publickey-credentials-get',
    'screen-wake-lock',
    'serial',
    'usb',
    'xr-spatial-tracking',
  ]
    .map((feature) => `${feature}=()`)
    .join(', '),
};

/** An API's answer is data; opened as a page it may do nothing. */
const policyOfData = "default-src 'none'; frame-ancestors 'none'";

/**
 * Inline scripts are those that Next.js put into pages when the site was built, known by their hashes; pages that are rendered when
 * they are asked for get a nonce. Scripts in files may come from this origin only, which serves no file that is not the site's own;
 * with 'strict-dynamic' instead, pages that were built could not load any, because their script elements can have no nonce.
 *
 * Styles may be inline: xterm.js makes style elements for its theme and its size, and its renderer without WebGL sets style
 * attributes; it offers no nonce for them.
 */
const policyOfPage = (scriptSources: readonly string[]): string =>
  [
    "default-src 'none'",
    `script-src 'self' ${scriptSources.join(' ')}`.trimEnd(),
    "script-src-attr 'none'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self'",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ');

/** Hashes of a page's inline scripts, as sources of a policy. Next.js writes neither `<script` nor its end within a script. */
export function inlineScriptSources(html: string): string[] {
  const scripts = [...html.matchAll(/<script\b([^>]*)>([^]*?)<\/script>/g)];
  const inline = scripts.flatMap(([, attributes = '', text = '']) =>
    /\ssrc=/.test(attributes) ? [] : [text],
  );
  return [...new Set(inline.map((text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`))];
}

export class SecurityHeaders {
  /** Sources of inline scripts, by the page's path. */
  readonly #pages: ReadonlyMap<string, readonly string[]>;
  /** Those of the pages that any path may be answered with: not found, failed. */
  readonly #fallbacks: readonly string[];

  private constructor(pages: ReadonlyMap<string, readonly string[]>, fallbacks: readonly string[]) {
    this.#pages = pages;
    this.#fallbacks = fallbacks;
  }

  /** @param siteDir directory of the built site; undefined when there are no pages */
  static async read(siteDir: string | undefined): Promise<SecurityHeaders> {
    const pages = new Map<string, readonly string[]>();
    const fallbacks = new Set<string>();
    if (siteDir !== undefined) {
      const built = join(siteDir, '.next', 'server', 'app');
      for (const file of await readdir(built, { recursive: true })) {
        if (!file.endsWith('.html')) continue;
        const sources = inlineScriptSources(await readFile(join(built, file), 'utf8'));
        const name = file.slice(0, -'.html'.length);
        if (name.startsWith('_')) for (const source of sources) fallbacks.add(source);
        else pages.set(name === 'index' ? '/' : `/${name}`, sources);
      }
    }
    return new SecurityHeaders(pages, [...fallbacks]);
  }

  forData(response: ServerResponse): void {
    this.#set(response, policyOfData);
  }

  /** For a request that the site's framework answers next. */
  forPage(request: IncomingMessage, response: ServerResponse): void {
    const nonce = randomBytes(16).toString('base64');
    const path = (request.url ?? '/').replace(/[?#].*/, '');
    const sources = new Set([...(this.#pages.get(path) ?? []), ...this.#fallbacks]);
    const policy = policyOfPage([`'nonce-${nonce}'`, ...sources]);
    this.#set(response, policy);
    // Where Next.js looks for the nonce; whatever the browser said there is not its to say.
    request.headers['content-security-policy'] = policy;
    delete request.headers['content-security-policy-report-only'];
  }

  #set(response: ServerResponse, policy: string): void {
    for (const [name, value] of Object.entries(everywhere)) response.setHeader(name, value);
    response.setHeader('content-security-policy', policy);
  }
}
