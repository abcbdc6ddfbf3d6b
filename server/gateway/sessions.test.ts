/** Sessions on sandboxes that are held in memory: what is there when things happen at the same time, or are killed in between. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { duplexPair } from 'node:stream';
import { text } from 'node:stream/consumers';
import pino from 'pino';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readConfig, type Config } from '../config';
import { LabError } from '../protocol/errors';
import { assignmentSchema, type Assignment, type RunnerStatus } from '../protocol/runner';
import type { EndReason } from '../protocol/session';
import type { SandboxProvider } from '../providers/provider';
import type { Lease, LeaseStore } from '../store/leases';
import type { SandboxSpec } from '../store/sandboxes';
import { Sessions } from './sessions';

// As much memory as a pair of the tests' own capacity needs, whatever this machine has.
vi.mock(import('./capacity'), async (original) => ({
  ...(await original()),
  availableMemoryBytes: () => Promise.resolve(64 * 2 ** 30),
}));

const lessonId = 'lesson';
const address = '192.0.2.1';
const never = new Promise<never>(() => undefined);

/** The machine: sandboxes and files that outlive gateways. */
class World {
  readonly sandboxes = new Map<string, { spec: SandboxSpec; session: Assignment | null }>();
  readonly leases = new Map<string, Lease>();
  /** Sandboxes whose runner was killed and whose remains are still there. */
  readonly dead: string[] = [];
  readonly stopped: [sandboxId: string, reason: EndReason][] = [];
  /** Fails instead of launching. */
  launchError: Error | undefined;
  /** What runners answer when they are told their session. */
  refusal: LabError | undefined;
  /** Done while a runner is told its session. */
  onAssign: ((assignment: Assignment) => void) | undefined;
  /** Runners of an earlier version do not say whose they are. */
  saysSession = true;

  /** Kills a runner. */
  kill(sandboxId: string): void {
    this.sandboxes.delete(sandboxId);
    this.dead.push(sandboxId);
  }

  /** The sandboxes that belong to a session. */
  assigned(): string[] {
    return [...this.sandboxes].flatMap(([id, { session }]) => (session ? [id] : []));
  }
}

/** What one gateway does to the world, until it is killed. */
class Hands {
  readonly #world: World;
  #left = Infinity;
  done = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Kills the gateway before its next effect but `count`: from then on, nothing it does happens or returns. */
  killAfter(count: number): void {
    this.#left = count;
  }

  get isKilled(): boolean {
    return this.#left < 0;
  }

  #effect<T>(effect: () => T): Promise<T> {
    this.#left -= 1;
    this.done += 1;
    if (this.isKilled) return never;
    return Promise.resolve().then(effect);
  }

  readonly store: LeaseStore = {
    list: () => this.#effect(() => structuredClone([...this.#world.leases.values()])),
    write: (lease) => this.#effect(() => void this.#world.leases.set(lease.id, structuredClone(lease))),
    remove: (id) => this.#effect(() => void this.#world.leases.delete(id)),
  };

  readonly provider: SandboxProvider = {
    launch: (spec) =>
      this.#effect(() => {
        if (this.#world.launchError !== undefined) throw this.#world.launchError;
        this.#world.sandboxes.set(spec.id, { spec, session: null });
      }),
    connect: (sandboxId) =>
      this.#effect(() => {
        if (!this.#world.sandboxes.has(sandboxId)) throw new LabError('lost', 'There is no runner.');
        const [ours, theirs] = duplexPair();
        createServer((request, response) => void this.#answer(sandboxId, request, response)).emit(
          'connection',
          theirs,
        );
        return ours;
      }),
    stop: (sandboxId, reason) =>
      this.#effect(() => {
        if (this.#world.sandboxes.delete(sandboxId)) this.#world.stopped.push([sandboxId, reason]);
      }),
    list: () =>
      this.#effect(() => ({
        running: [...this.#world.sandboxes.values()].map(({ spec }) => spec),
        ended: this.#world.dead.splice(0).map((id) => ({ id, reason: undefined, lastWords: '' })),
      })),
  };

  async #answer(sandboxId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    await this.#effect(() => {
      const sandbox = this.#world.sandboxes.get(sandboxId);
      if (!sandbox) return response.destroy();
      if (request.method === 'PUT') {
        const { refusal } = this.#world;
        if (refusal) return response.writeHead(400).end(JSON.stringify({ error: refusal.toWire() }));
        const assignment = assignmentSchema.parse(JSON.parse(body));
        sandbox.session = assignment;
        this.#world.onAssign?.(assignment);
        return response.end('{}');
      }
      const status: RunnerStatus = {
        phase: 'ready',
        lessonId: sandbox.session?.lessonId ?? null,
        sessionId: this.#world.saysSession ? (sandbox.session?.id ?? null) : null,
        connections: 0,
        memoryBytes: 1000,
        cpuSeconds: 0,
        readyMs: 1,
      };
      return response.end(JSON.stringify(status));
    });
  }
}

const gateways: Sessions[] = [];
afterEach(async () => {
  for (const gateway of gateways.splice(0)) void gateway.stop(undefined);
  await Promise.resolve();
});

async function open(
  world: World,
  settings: Partial<Config> = {},
): Promise<{ sessions: Sessions; hands: Hands }> {
  const hands = new Hands(world);
  const config: Config = {
    ...readConfig(undefined, {}),
    stateDir: '/nonexistent/lab',
    hostMemoryMiB: 256,
    memoryReserveMiB: 0,
    maxSessions: 4,
    poolSize: 0,
    ...settings,
  };
  const sources = {
    lessonsDir: '/lessons',
    baseTemplateDir: '/template',
    lessonTemplateDirs: new Map<string, string>(),
    accelerator: 'tcg',
  } as const;
  const sessions = new Sessions(config, sources, hands.provider, hands.store, pino({ level: 'silent' }));
  gateways.push(sessions);
  await sessions.start();
  await expect
    .poll(() => sessions.state().poolReady, { timeout: 10_000 })
    .toBeGreaterThanOrEqual(config.poolSize);
  return { sessions, hands };
}

async function begin(sessions: Sessions, owner = 'ada'): Promise<string> {
  const { session } = await sessions.obtain(owner, address, lessonId);
  if (!session) throw new Error('no session');
  return session.id;
}

/** One lease on disk, of this session, and one sandbox of that session and of no other. */
async function expectWhole(world: World, sessions: Sessions, id: string, owner = 'ada'): Promise<void> {
  const lease = await sessions.find(owner);
  expect(lease?.id).toBe(id);
  await expect.poll(() => world.assigned()).toEqual([lease?.sandboxId]);
  expect([...world.leases.values()]).toEqual([lease]);
  expect(world.sandboxes.get(lease?.sandboxId ?? '')?.session?.id).toBe(id);
}

describe('a reset', () => {
  test.each([
    ['with a spare pair', 1],
    ['without a spare pair', 0],
  ])('%s gives another sandbox to the same session, and ends the old one', async (_, poolSize) => {
    const world = new World();
    const { sessions } = await open(world, { poolSize });
    const id = await begin(sessions);
    const grant = await sessions.grant(id);
    await expect.poll(() => sessions.state().poolReady).toBe(poolSize);
    const before = await sessions.find('ada');
    const after = await sessions.reset(id);
    expect(after).toEqual({ ...before, sandboxId: after.sandboxId });
    expect(after.sandboxId).not.toBe(before?.sandboxId);
    expect(sessions.isGranted(id, grant)).toBe(true);
    await expect.poll(() => world.stopped).toEqual([[before?.sandboxId, 'reset']]);
    await expectWhole(world, sessions, id);
    expect(sessions.state().sessions).toBe(1);
  });

  test.each([
    ['with a spare pair', 1],
    ['without a spare pair', 0],
  ])(
    '%s ends with one sandbox and one lease, wherever the gateway is killed',
    { timeout: 120_000 },
    async (_, poolSize) => {
      let killed = 0;
      for (let effects = 0; ; effects++) {
        const world = new World();
        const first = await open(world, { poolSize });
        const id = await begin(first.sessions);
        const grant = await first.sessions.grant(id);
        await expect.poll(() => first.sessions.state().poolReady).toBe(poolSize);
        first.hands.killAfter(effects);
        let isDone = false;
        void first.sessions.reset(id).then(() => (isDone = true));
        await vi.waitFor(() => {
          if (!isDone && !first.hands.isKilled) throw new Error('neither done nor killed');
        });
        // What follows the reset's answer, such as the end of the old sandbox, may be killed too.
        await vi.waitFor(() => {
          if (!first.hands.isKilled && world.stopped.length === 0) throw new Error('the old one is there');
        });
        const isKilled = first.hands.isKilled;
        first.hands.killAfter(-1);
        void first.sessions.stop(undefined);

        const { sessions } = await open(world, { poolSize });
        await expectWhole(world, sessions, id);
        expect(sessions.isGranted(id, grant)).toBe(true);
        for (const [, reason] of world.stopped) expect(reason).toBe('reset');
        await sessions.stop(undefined);
        if (!isKilled) break;
        killed += 1;
      }
      // At least: the lease, the connection, the assignment, and the stop of the old one.
      expect(killed).toBeGreaterThanOrEqual(4);
    },
  );

  test('that is asked for twice at the same time is one', async () => {
    const world = new World();
    const { sessions } = await open(world);
    const id = await begin(sessions);
    const [one, two] = await Promise.all([sessions.reset(id), sessions.reset(id)]);
    expect(one).toEqual(two);
    expect(world.stopped).toHaveLength(1);
    await expectWhole(world, sessions, id);
  });

  test.each([
    ['with a spare pair', 1],
    ['without a spare pair', 0],
  ])('%s loses neither an extension nor a revoked grant that come in between', async (_, poolSize) => {
    const world = new World();
    const { sessions } = await open(world, { poolSize });
    const id = await begin(sessions);
    await sessions.grant(id);
    await expect.poll(() => sessions.state().poolReady).toBe(poolSize);
    const before = await sessions.find('ada');
    let revoked: Promise<void> | undefined;
    world.onAssign = () => {
      revoked ??= sessions.revokeGrant(id);
    };
    const reset = sessions.reset(id);
    const extended = await sessions.extend(id);
    await reset;
    await revoked;
    expect(extended.endsAtMs).toBeGreaterThan(before?.endsAtMs ?? Infinity);
    const after = await sessions.find('ada');
    expect(after).toMatchObject({ endsAtMs: extended.endsAtMs, grant: null });
    expect(world.sandboxes.get(after?.sandboxId ?? '')?.session?.endsAtMs).toBe(extended.endsAtMs);
    await expectWhole(world, sessions, id);
  });

  test('that fails leaves the session its old sandbox while there is one', async () => {
    const world = new World();
    const { sessions } = await open(world, { poolSize: 1 });
    const id = await begin(sessions);
    await expect.poll(() => sessions.state().poolReady).toBe(1);
    const before = await sessions.find('ada');
    world.refusal = new LabError('bad-lesson', 'There is no such lesson.');
    await expect(sessions.reset(id)).rejects.toMatchObject({ code: 'bad-lesson' });
    expect(await sessions.find('ada')).toEqual(before);
    await expectWhole(world, sessions, id);
    expect(world.stopped.map(([sandboxId]) => sandboxId)).not.toContain(before?.sandboxId);
  });

  test('that fails without another sandbox ends the session, and says why', async () => {
    const world = new World();
    const { sessions } = await open(world);
    const id = await begin(sessions);
    world.launchError = new Error('spawn /srv/secret ENOENT');
    await expect(sessions.reset(id)).rejects.toMatchObject({
      code: 'internal',
      message: 'Starting your two hosts: an unexpected error.',
    });
    expect(await sessions.find('ada')).toBeUndefined();
    expect(sessions.lastEnd('ada')).toBe('Starting your two hosts: an unexpected error.');
    expect([world.leases.size, world.sandboxes.size]).toEqual([0, 0]);
    world.launchError = undefined;
    await begin(sessions);
  });
});

describe('a gateway that starts', () => {
  test(
    'leaves no sandbox without a session, wherever the one before was killed while it created one',
    { timeout: 120_000 },
    async () => {
      for (let effects = 0; ; effects++) {
        const world = new World();
        const first = await open(world);
        first.hands.killAfter(effects);
        let isDone = false;
        void begin(first.sessions).then(() => (isDone = true));
        await vi.waitFor(() => {
          if (!isDone && !first.hands.isKilled) throw new Error('neither done nor killed');
        });
        const isKilled = first.hands.isKilled;
        first.hands.killAfter(-1);
        void first.sessions.stop(undefined);
        const { sessions } = await open(world, {
          poolSize: world.leases.size === 0 ? world.sandboxes.size : 0,
        });
        const id = await begin(sessions);
        await expectWhole(world, sessions, id);
        await sessions.stop(undefined);
        if (!isKilled) break;
      }
    },
  );

  test('goes on with a session of an earlier version, whose runner does not say whose it is', async () => {
    const world = new World();
    world.saysSession = false;
    const first = await open(world);
    const id = await begin(first.sessions);
    const sandboxId = (await first.sessions.find('ada'))?.sandboxId;
    await first.sessions.stop(undefined);
    const { sessions } = await open(world);
    expect(await sessions.find('ada', id)).toMatchObject({ id, sandboxId });
    await expectWhole(world, sessions, id);
  });

  test('keeps one of two sessions that an earlier version left to one learner', async () => {
    const world = new World();
    const first = await open(world);
    const id = await begin(first.sessions);
    await begin(first.sessions, 'bob');
    await first.sessions.stop(undefined);
    for (const [key, lease] of world.leases) world.leases.set(key, { ...lease, ownerHash: 'ada' });
    const { sessions } = await open(world);
    const kept = await sessions.find('ada');
    expect(kept?.id).not.toBe(id);
    expect(world.stopped.map(([, reason]) => reason)).toEqual(['reset']);
    await expectWhole(world, sessions, kept?.id ?? '');
  });

  test('tells a learner that the session is over whose sandbox is gone', async () => {
    const world = new World();
    const first = await open(world);
    await begin(first.sessions);
    await first.sessions.stop(undefined);
    world.sandboxes.clear();
    const { sessions } = await open(world);
    expect(await sessions.find('ada')).toBeUndefined();
    expect(sessions.lastEnd('ada')).toContain('was killed or crashed');
    expect(world.leases.size).toBe(0);
  });
});

test('a session is over when its runner is killed, and its learner is told why', async () => {
  const world = new World();
  const { sessions } = await open(world);
  await begin(sessions);
  world.assigned().forEach((sandboxId) => {
    world.kill(sandboxId);
  });
  expect(await sessions.ask('ada')).toEqual({ session: null, queue: null });
  expect(sessions.lastEnd('ada')).toContain('was killed or crashed');
  expect(world.leases.size).toBe(0);
});

test('the memory of a sandbox is not counted any more when it has died in the pool', async () => {
  const world = new World();
  const { sessions } = await open(world, { poolSize: 1, leaseMs: 200 });
  const counted = () => sessions.metrics.registry.getSingleMetricAsString('lab_pairs_memory_bytes');
  await expect.poll(counted).toContain('lab_pairs_memory_bytes 1000');
  world.launchError = new Error('no more of them');
  for (const sandboxId of world.sandboxes.keys()) world.kill(sandboxId);
  await expect.poll(counted).toContain('lab_pairs_memory_bytes 0');
});

describe('admission', () => {
  test('gives the last pair to one of two who ask at the same time', async () => {
    const { sessions } = await open(new World(), { maxSessions: 1 });
    const replies = await Promise.all(
      ['ada', 'bob'].map((owner) => sessions.obtain(owner, address, lessonId)),
    );
    expect(replies.map(({ session }) => session !== null).toSorted()).toEqual([false, true]);
    expect(replies.find(({ queue }) => queue)?.queue?.position).toBe(1);
  });

  test('gives a pair of the pool to one of two who ask at the same time', async () => {
    const world = new World();
    const { sessions } = await open(world, { maxSessions: 1, poolSize: 1 });
    const replies = await Promise.all(
      ['ada', 'bob'].map((owner) => sessions.obtain(owner, address, lessonId)),
    );
    expect(replies.filter(({ session }) => session !== null)).toHaveLength(1);
    expect(world.sandboxes.size).toBe(1);
  });

  test('counts the sessions of an address that are being created', async () => {
    const { sessions } = await open(new World(), { maxSessionsPerAddress: 2 });
    const asked = await Promise.allSettled(
      ['ada', 'bob', 'eve'].map((owner) => sessions.obtain(owner, address, lessonId)),
    );
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
    expect(asked.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'too-many-sessions' },
    });
  });

  test('gives one session to two tabs of one learner', async () => {
    const world = new World();
    const { sessions } = await open(world);
    const [one, two] = await Promise.all([begin(sessions), begin(sessions)]);
    expect(one).toBe(two);
    await expectWhole(world, sessions, one);
  });

  test('gives a pair to the learner who waits when another leaves', async () => {
    const { sessions } = await open(new World(), { maxSessions: 1 });
    await begin(sessions);
    expect((await sessions.obtain('bob', address, lessonId)).queue?.position).toBe(1);
    expect(await sessions.leave('ada')).toBe(true);
    await expect.poll(async () => (await sessions.ask('bob')).session, { timeout: 10_000 }).not.toBeNull();
    expect(sessions.state().queue).toBe(0);
  });

  test('forgets a learner who has left the queue', async () => {
    const { sessions } = await open(new World(), { maxSessions: 1 });
    await begin(sessions);
    await sessions.obtain('bob', address, lessonId);
    expect(await sessions.leave('bob')).toBe(true);
    expect(await sessions.leave('bob')).toBe(false);
    expect(await sessions.ask('bob')).toEqual({ session: null, queue: null });
  });
});
