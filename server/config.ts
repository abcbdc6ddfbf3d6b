/**
 * Every limit, time and size of the server: one schema, read once at start.
 * Sources, later ones win: the defaults here, `lab.config.json` in the working directory (or --config), environment
 * variables named `LAB_` + the key in upper snake case (`idleTimeoutMs` is `LAB_IDLE_TIMEOUT_MS`).
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { LabError } from './protocol/errors';

const minuteMs = 60_000;
const xdg = (variable: string, fallback: string): string =>
  join(process.env[variable] || join(homedir(), fallback), 'live-migration-lab');

/** Whether programs of this machine alone can be meant by it (RFC 1122, RFC 4291, RFC 6761). */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.[\d.]+$/.test(host);

/** Whether browsers send cookies that are marked as Secure to this origin. */
const keepsCookies = (origin: URL): boolean => origin.protocol === 'https:' || isLoopback(origin.hostname);

const configSchema = z.strictObject({
  host: z.string().default('127.0.0.1').describe('Address on which the site listens'),
  port: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(3000)
    .describe('Port of the site; 0 takes a free one'),
  publicOrigin: z
    .url({ protocol: /^https?$/ })
    .refine((url) => !URL.canParse(url) || keepsCookies(new URL(url)), {
      error:
        'must be https: beyond this machine, because browsers send the session’s cookie over nothing less',
    })
    .optional()
    .describe('Origin that browsers use when it is not http://localhost:<port>, for example behind a proxy'),
  trustedProxies: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('Proxies before this server whose X-Forwarded-For is believed'),
  cacheDir: z
    .string()
    .default(() => xdg('XDG_CACHE_HOME', '.cache'))
    .describe('Host image, template and downloads: safe to delete, slow to make'),
  stateDir: z
    .string()
    .default(() => xdg('XDG_STATE_HOME', '.local/state'))
    .describe('Running sessions: sockets, overlays, logs'),
  accelerator: z
    .enum(['auto', 'kvm', 'tcg'])
    .default('auto')
    .describe('auto uses KVM when it really boots the kernel'),
  hostMemoryMiB: z.coerce.number().int().min(512).default(1024).describe('Memory of one sandbox host'),
  maxSessions: z.coerce
    .number()
    .int()
    .min(1)
    .default(500)
    .describe('Pairs at the same time, however many more the machine would hold'),
  poolSize: z.coerce
    .number()
    .int()
    .min(0)
    .default(1)
    .describe('Pairs kept ready for the next learner; more are made ahead while many come'),
  workshopSeats: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe('Learners announced: pairs for those who are not there yet are made ahead'),
  maxSessionsPerAddress: z.coerce
    .number()
    .int()
    .min(1)
    .default(300)
    .describe('Sessions and places in the queue of one network address; a whole workshop may share one'),
  maxQueue: z.coerce.number().int().min(0).default(500).describe('Learners who may wait for a pair'),
  queueGraceMs: z.coerce
    .number()
    .int()
    .positive()
    .default(2.5 * minuteMs)
    .describe('A place in the queue is lost when its page was not heard of for this long'),
  memoryReserveMiB: z.coerce
    .number()
    .int()
    .min(0)
    .default(1024)
    .describe('Memory left to the machine when it is asked how many pairs it holds'),
  idleTimeoutMs: z.coerce
    .number()
    .int()
    .positive()
    .default(30 * minuteMs)
    .describe('A session without input ends after this'),
  totalTimeoutMs: z.coerce
    .number()
    .int()
    .positive()
    .default(180 * minuteMs)
    .describe('A session ends after this'),
  disconnectedTimeoutMs: z.coerce
    .number()
    .int()
    .positive()
    .default(15 * minuteMs)
    .describe('A session without an open page ends after this'),
  extensions: z.coerce
    .number()
    .int()
    .min(0)
    .default(2)
    .describe('How often a learner may put off the end of a session'),
  extensionMs: z.coerce
    .number()
    .int()
    .positive()
    .default(30 * minuteMs)
    .describe('By how much each time'),
  endWarningMs: z.coerce
    .number()
    .int()
    .positive()
    .default(5 * minuteMs)
    .describe('The page warns this long before a session ends'),
  savedStatesMiB: z.coerce
    .number()
    .int()
    .min(0)
    .default(1024)
    .describe('Disk for the states of one session that a learner can go back to; 0 keeps none'),
  leaseMs: z.coerce
    .number()
    .int()
    .positive()
    .default(10 * minuteMs)
    .describe('A runner whose gateway was not heard of for this long ends itself'),
  scrollbackBytes: z.coerce
    .number()
    .int()
    .min(256 * 1024)
    .default(1024 * 1024)
    .describe('Output kept of each terminal for a client that comes back'),
  maxTerminals: z.coerce
    .number()
    .int()
    .min(2)
    .max(64)
    .default(12)
    .describe('Terminals of one session at the same time, of both hosts together'),
  isolation: z
    .enum(['auto', 'full', 'none'])
    .default('auto')
    .describe('auto confines each session as far as this machine allows; full refuses to run with less'),
  sessionUidBase: z.coerce
    .number()
    .int()
    .min(1000)
    .max(2_000_000_000)
    .default(700_000)
    .describe('First of the user ids that sessions run as, one each; nobody else may have them'),
  sessionOverheadMiB: z.coerce
    .number()
    .int()
    .min(384)
    .default(896)
    .describe('Memory of a session beside that of its two hosts: QEMU, code translated by it, the runner'),
  sessionCpus: z.coerce
    .number()
    .positive()
    .default(2)
    .describe('Processors whose time one session may use; its two hosts have one each'),
  hostDiskMiB: z.coerce
    .number()
    .int()
    .min(256)
    .default(3072)
    .describe('Disk that one sandbox host may write; beyond it the host sees I/O errors'),
  sessionIoMiBps: z.coerce
    .number()
    .int()
    .positive()
    .default(200)
    .describe('Disk throughput of one session, reads and writes each'),
  publicMode: z
    .union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')])
    .default(false)
    .describe('For strangers: refuses to start without KVM, full isolation and HTTPS'),
  metricsPort: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(9464)
    .describe('Port of metrics and readiness on loopback; 0 takes a free one'),
  debianMirror: z.url().optional().describe('Debian mirror for the host image; mmdebstrap has a default'),
});
export type Config = z.infer<typeof configSchema>;

const environmentName = (key: string): string =>
  `LAB_${key
    .replace('MiB', 'Mib')
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase()}`;

/**
 * Reads the configuration.
 * @param file a path given on the command line; must exist then
 * @throws LabError `bad-config` naming the file or variable and the field
 */
export function readConfig(
  file?: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const path = file ?? 'lab.config.json';
  let fromFile: unknown = {};
  try {
    fromFile = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const absent = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (!absent || file !== undefined) {
      throw new LabError('bad-config', `Cannot read the configuration ${path}: ${String(cause)}`, { cause });
    }
  }
  const known = Object.keys(configSchema.shape);
  const fromEnvironment = Object.fromEntries(
    known.flatMap((key) => {
      const value = environment[environmentName(key)];
      return value === undefined || value === '' ? [] : [[key, value]];
    }),
  );
  if (typeof fromFile !== 'object' || fromFile === null || Array.isArray(fromFile)) {
    throw new LabError('bad-config', `${path} must hold one JSON object.`);
  }
  const parsed = configSchema.safeParse({ ...fromFile, ...fromEnvironment });
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    const key = String(issue.path[0] ?? '');
    const where = key in fromEnvironment ? environmentName(key) : path;
    return `${where}: ${key ? `${key}: ` : ''}${issue.message}`;
  });
  throw new LabError('bad-config', lines.join('\n'), { hint: `Known keys: ${known.join(', ')}.` });
}
