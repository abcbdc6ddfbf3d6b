/**
 * To be imported before any schema is made. Zod compiles object schemas with `new Function`, and asks at the first whether it may: where
 * a Content-Security-Policy forbids that, each page load would report a violation.
 */
import { config } from 'zod';

config({ jitless: true });
