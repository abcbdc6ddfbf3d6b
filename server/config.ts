/**
 * Every limit, time and size of the server: one schema, read once at start.
 *
 * A value comes from, in order of precedence: an environment variable named `LAB_` plus the key in upper snake case (`idleTimeoutMs` is
 * `LAB_IDLE_TIMEOUT_MS`); `lab.config.json` in the working directory, or the file given with --config; the default below.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { hasErrno } from './posix';
import { LabError } from './protocol/errors';

const minuteMs = 60_000;
const xdg = (variable: string, fallback: string): string =>
  join(process.env[variable] || join(homedir(), fallback), 'live-migration-lab');

/** Whether a host name or address always means this machine (RFC 1122, RFC 4291, RFC 6761). */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.[\d.]+$/.test(host);

/** Whether browsers send cookies marked Secure to this origin. */
const getsSecureCookies = (origin: URL): boolean =>
  origin.protocol === 'https:' || isLoopback(origin.hostname);

const configSchema = z.strictObject({
  host: z
    .string()
    .default('127.0.0.1')
    .describe('Address on which the server listens; 0.0.0.0 listens on every IPv4 address'),
  port: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(3000)
    .describe('Port of the site; 0 picks a free port'),
  publicOrigin: z
    .url({ protocol: /^https?$/ })
    .refine((url) => !URL.canParse(url) || getsSecureCookies(new URL(url)), {
      error:
        'must be https: unless it names this machine, because browsers send the session cookie only over HTTPS',
    })
    .optional()
    .describe(
      'Origin that browsers use to reach the site, if it is not http://localhost:<port>; needed behind a proxy, and must be https: unless it is a loopback address',
    ),
  trustedProxies: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe(
      'Number of proxies in front of this server; it reads a learner’s address from the X-Forwarded-For entry that the outermost of them added',
    ),
  cacheDir: z
    .string()
    .default(() => xdg('XDG_CACHE_HOME', '.cache'))
    .describe(
      'Directory of the host image, templates and build logs; safe to delete while the server is stopped, but slow to make again',
    ),
  stateDir: z
    .string()
    .default(() => xdg('XDG_STATE_HOME', '.local/state'))
    .describe(
      'Directory of running sandboxes: sockets, disk overlays and logs; its path must be short enough for Unix sockets',
    ),
  accelerator: z
    .enum(['auto', 'kvm', 'tcg'])
    .default('auto')
    .describe(
      'kvm requires KVM, tcg emulates in software (10 to 20 times slower), auto uses KVM if it boots the hosts’ kernel',
    ),
  hostMemoryMiB: z.coerce
    .number()
    .int()
    .min(512)
    .default(1024)
    .describe('Memory of one sandbox host, in MiB; a pair has two'),
  maxSessions: z.coerce
    .number()
    .int()
    .min(1)
    .default(500)
    .describe(
      'Most pairs that exist at once, including the pool; memory and processors may set a lower limit',
    ),
  poolSize: z.coerce
    .number()
    .int()
    .min(0)
    .default(1)
    .describe('Pairs kept ready for the next learners; while many learners arrive, the server keeps more'),
  workshopSeats: z.coerce
    .number()
    .int()
    .min(0)
    .default(0)
    .describe(
      'Number of learners expected, for a workshop; the server makes pairs for those who have not arrived yet',
    ),
  maxSessionsPerAddress: z.coerce
    .number()
    .int()
    .min(1)
    .default(300)
    .describe(
      'Most sessions and queue positions for one network address; a whole workshop may share an address',
    ),
  maxQueue: z.coerce
    .number()
    .int()
    .min(0)
    .default(500)
    .describe('Most learners that wait in the queue when the lab is full'),
  queueGraceMs: z.coerce
    .number()
    .int()
    .positive()
    .default(2.5 * minuteMs)
    .describe(
      'A learner loses the queue position when their page has not contacted the server for this long, in milliseconds',
    ),
  memoryReserveMiB: z.coerce
    .number()
    .int()
    .min(0)
    .default(1024)
    .describe(
      'Memory kept free for the rest of the machine, in MiB; the server computes its capacity without it',
    ),
  idleTimeoutMs: z.coerce
    .number()
    .int()
    .positive()
    .default(30 * minuteMs)
    .describe('A session ends after this time without input, in milliseconds'),
  totalTimeoutMs: z.coerce
    .number()
    .int()
    .positive()
    .default(180 * minuteMs)
    .describe('A session ends this long after its start, in milliseconds, unless the learner extends it'),
  disconnectedTimeoutMs: z.coerce
    .number()
    .int()
    .positive()
    .default(15 * minuteMs)
    .describe('A session ends after this time without an open page, in milliseconds'),
  extensions: z.coerce
    .number()
    .int()
    .min(0)
    .default(2)
    .describe('How many times a learner may extend a session'),
  extensionMs: z.coerce
    .number()
    .int()
    .positive()
    .default(30 * minuteMs)
    .describe('How much time each extension adds, in milliseconds'),
  endWarningMs: z.coerce
    .number()
    .int()
    .positive()
    .default(5 * minuteMs)
    .describe('How long before the end of a session the page warns the learner, in milliseconds'),
  savedStatesMiB: z.coerce
    .number()
    .int()
    .min(0)
    .default(1024)
    .describe(
      'Disk for the saved states of one session, to which a learner can return, in MiB; 0 saves none',
    ),
  leaseMs: z.coerce
    .number()
    .int()
    .positive()
    .default(10 * minuteMs)
    .describe(
      'A runner ends its sandbox after this time without contact with the gateway, in milliseconds; pairs survive a shorter restart of the server',
    ),
  scrollbackBytes: z.coerce
    .number()
    .int()
    .min(256 * 1024)
    .default(1024 * 1024)
    .describe('Output kept for each terminal, in bytes, so a reconnecting page receives what it missed'),
  maxTerminals: z.coerce
    .number()
    .int()
    .min(2)
    .max(64)
    .default(12)
    .describe('Most terminals that one session has open at once, on both hosts together'),
  isolation: z
    .enum(['auto', 'full', 'none'])
    .default('auto')
    .describe(
      'auto isolates each sandbox as far as this machine allows, full refuses to start if any part is missing, none switches isolation off',
    ),
  sessionUidBase: z.coerce
    .number()
    .int()
    .min(1000)
    .max(2_000_000_000)
    .default(700_000)
    .describe(
      'First of the user ids under which sandboxes run; each sandbox gets one, and no other user may have an id in this range',
    ),
  sessionOverheadMiB: z.coerce
    .number()
    .int()
    .min(384)
    .default(896)
    .describe(
      'Memory of one sandbox besides the memory of its two hosts, in MiB: QEMU, the code that it translates, and the runner',
    ),
  sessionCpus: z.coerce
    .number()
    .positive()
    .default(2)
    .describe(
      'Processor time that one sandbox may use, as a number of processors; each of its two hosts has one virtual processor',
    ),
  hostDiskMiB: z.coerce
    .number()
    .int()
    .min(256)
    .default(3072)
    .describe('Disk that one sandbox host may write, in MiB; beyond it the host gets I/O errors'),
  sessionIoMiBps: z.coerce
    .number()
    .int()
    .positive()
    .default(200)
    .describe('Disk throughput of one sandbox, in MiB/s, for reads and for writes each'),
  publicMode: z
    .union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')])
    .default(false)
    .describe(
      'For servers open to strangers: the server refuses to start without KVM, full isolation and HTTPS',
    ),
  metricsPort: z.coerce
    .number()
    .int()
    .min(0)
    .max(65535)
    .default(9464)
    .describe('Port of metrics, readiness and workshop requests, on loopback only; 0 picks a free port'),
  debianMirror: z
    .url()
    .optional()
    .describe('Debian mirror from which the host image is built; without it mmdebstrap uses its default'),
});
export type Config = z.infer<typeof configSchema>;

/** The most memory that one pair may take: both hosts' RAM and `sessionOverheadMiB`. A sandbox's control group enforces it. */
export const mostPairBytes = (config: Pick<Config, 'hostMemoryMiB' | 'sessionOverheadMiB'>): number =>
  (2 * config.hostMemoryMiB + config.sessionOverheadMiB) * 1024 * 1024;

const environmentName = (key: string): string =>
  `LAB_${key
    .replace('MiB', 'Mib')
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase()}`;

/**
 * Reads the configuration.
 * @param file a path given on the command line; then the file must exist
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
    if (!hasErrno(cause, 'ENOENT') || file !== undefined) {
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
    throw new LabError('bad-config', `${path} must contain one JSON object.`);
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
