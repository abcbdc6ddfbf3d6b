/** The linter's rules for figures: they must be drawn in light and dark, alone on a code host and within the page. */

/** @returns what is wrong in an SVG file, with its line */
export function findFigureDefects(svg: string): { line: number; text: string }[] {
  const defects: { line: number; text: string }[] = [];
  const at = (index: number): number => svg.slice(0, index).split('\n').length;
  const root = /<svg\b[^>]*>/.exec(svg);
  if (!root) return [{ line: 1, text: 'This is no SVG: it has no <svg> element.' }];
  if (!/\sviewBox\s*=/.test(root[0]))
    defects.push({
      line: at(root.index),
      text: 'The <svg> element lacks a viewBox, so it cannot be scaled.',
    });
  if (!/\sxmlns\s*=\s*"http:\/\/www\.w3\.org\/2000\/svg"/.test(root[0]))
    defects.push({
      line: at(root.index),
      text: 'Add xmlns="http://www.w3.org/2000/svg": without it no browser draws the file.',
    });
  if (!svg.includes('(prefers-color-scheme: dark)'))
    defects.push({
      line: at(root.index),
      text: 'The figure has no colours for dark pages. Add a <style> with @media (prefers-color-scheme: dark).',
    });
  for (const match of svg.matchAll(
    /<(script|foreignObject|image|iframe)\b|\son\w+\s*=|\b(?:href|src)\s*=\s*"(?!#)/gi,
  )) {
    defects.push({
      line: at(match.index),
      text: `\`${match[0].trim()}\` may not stand in a figure: it draws, and loads and runs nothing.`,
    });
  }
  return defects;
}
