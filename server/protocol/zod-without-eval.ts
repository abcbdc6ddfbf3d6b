/**
 * Import this before creating a schema. Zod compiles object schemas with `new Function` and tries it once. Where a
 * Content-Security-Policy forbids `new Function`, each page load would report a violation.
 */
import { config } from 'zod';

config({ jitless: true });
