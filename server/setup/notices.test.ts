import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../root';
import { makeNotices, noticesFile } from './notices.mjs';

test('the third-party notices are those of the lock file; `npm run notices` writes them', () => {
  const notices = makeNotices();
  expect(notices).toContain('@fontsource-variable/archivo');
  expect(notices).not.toContain('## undefined');
  expect(readFileSync(join(root, noticesFile), 'utf8')).toBe(notices);
});
