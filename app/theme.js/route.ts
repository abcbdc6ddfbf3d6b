/**
 * A script of its own, not an inline one, that applies the remembered theme before the first paint, so that a reload in
 * the dark does not flash. A page may then forbid inline scripts for all but the framework's own.
 */
export const dynamic = 'force-static';

const script = `try {
  const theme = JSON.parse(localStorage.getItem('theme'));
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {}
`;

export function GET(): Response {
  return new Response(script, { headers: { 'content-type': 'text/javascript; charset=utf-8' } });
}
