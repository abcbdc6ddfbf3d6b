import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import { Markdown } from './markdown';

const htmlOf = (text: string): string =>
  renderToStaticMarkup(<Markdown components={{ a: 'b' }}>{text}</Markdown>);

test.each([
  ['What does `set_tid` set?', 'What does <code>set_tid</code> set?'],
  ['The _process ID_ of A < B. {really}', 'The <em>process ID</em> of A &lt; B. {really}'],
  ['One.\n\nTwo.', '<p>One.</p>\n<p>Two.</p>'],
  ['- One', '<ul>\n<li>One</li>\n</ul>'],
  ['~~No~~ <script>', '<del>No</del> '],
  ['[a](b)', '<b href="b">a</b>'],
])('renders %j', (text, html) => {
  expect(htmlOf(text)).toBe(html);
});
