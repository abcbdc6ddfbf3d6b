/**
 * A separate script that applies the stored theme before the first paint, so a dark page does not flash on reload. It is not inline, so
 * the Content-Security-Policy can forbid all inline scripts but the framework's.
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
