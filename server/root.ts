import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function nearestPackage(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : nearestPackage(dirname(directory));
}

/** Root directory of the checkout, whether this code runs from source or from the bundle in dist/. */
export const root = nearestPackage(dirname(fileURLToPath(import.meta.url)));
