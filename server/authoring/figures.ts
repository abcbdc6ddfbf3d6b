/** The linter's rules for figures: browsers must draw them in light and dark, on a code host and in the page. */
import type { TextDiagnostic } from '../lessons/diagnostics';

/** Finds what is wrong in an SVG file. */
export function lintFigure(svg: string): TextDiagnostic[] {
  const diagnostics: TextDiagnostic[] = [];
  const at = (index: number): number => svg.slice(0, index).split('\n').length;
  const root = /<svg\b[^>]*>/.exec(svg);
  if (!root) return [{ line: 1, message: 'This is not an SVG: it has no <svg> element.' }];
  if (!/\sviewBox\s*=/.test(root[0]))
    diagnostics.push({
      line: at(root.index),
      message: 'The <svg> element lacks a viewBox, so it cannot be scaled.',
    });
  if (!/\sxmlns\s*=\s*"http:\/\/www\.w3\.org\/2000\/svg"/.test(root[0]))
    diagnostics.push({
      line: at(root.index),
      message: 'Add xmlns="http://www.w3.org/2000/svg". Without it, browsers do not draw the file.',
    });
  if (!svg.includes('(prefers-color-scheme: dark)'))
    diagnostics.push({
      line: at(root.index),
      message:
        'The figure has no colours for dark pages. Add a <style> with @media (prefers-color-scheme: dark).',
    });
  for (const match of svg.matchAll(
    /<(script|foreignObject|image|iframe)\b|\son\w+\s*=|\b(?:href|src)\s*=\s*"(?!#)/gi,
  )) {
    diagnostics.push({
      line: at(match.index),
      message: `Remove \`${match[0].trim()}\`: a figure must not load or run anything.`,
    });
  }
  return diagnostics;
}
