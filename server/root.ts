import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function nearestPackage(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : nearestPackage(dirname(directory));
}

/** The checkout, whether this runs from source or from the bundle in dist/. */
export const root = nearestPackage(dirname(fileURLToPath(import.meta.url)));
