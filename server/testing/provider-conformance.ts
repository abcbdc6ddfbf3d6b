/** Tests that every provider must pass: a provider's test file calls {@link testProvider} with a function that makes one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LabError } from '../protocol/errors';
import type { SandboxSpec } from '../store/sandboxes';
import type { SandboxProvider } from '../providers/provider';

/** A provider, and what the tests need besides it. */
export interface ProviderUnderTest {
  provider: SandboxProvider;
  /** A spec with a new id, of an existing template. */
  spec(): SandboxSpec;
  /** Kills the sandbox's runner as a crash would, without notifying the provider. */
  kill(sandboxId: string): Promise<void>;
  /** Describes what is left of the sandbox: processes, files, groups. */
  leftovers(sandboxId: string): Promise<string[]>;
  remove(): Promise<void>;
}

/** For TCG on a busy machine; a launch does not wait until the pair runs. */
const launchTimeoutMs = 120_000;

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
    return 'none';
  } catch (error) {
    return error instanceof LabError ? error.code : String(error);
  }
};

export function testProvider(
  name: string,
  make: () => Promise<ProviderUnderTest>,
  setUpTimeoutMs: number,
): void {
  describe(name, { timeout: launchTimeoutMs }, () => {
    let made: ProviderUnderTest;
    let provider: SandboxProvider;

    beforeAll(async () => {
      made = await make();
      ({ provider } = made);
    }, setUpTimeoutMs);
    afterAll(async () => {
      await made.remove();
    });

    const runningIds = async () => (await provider.list()).running.map(({ id }) => id);

    test('launches once, however often it is called, and lists what it launched', async () => {
      const spec = made.spec();
      await Promise.all([provider.launch(spec), provider.launch(spec)]);
      await provider.launch(spec);
      expect((await provider.list()).running).toEqual([spec]);
      (await provider.connect(spec.id)).destroy();
      await provider.stop(spec.id, 'by-learner');
    });

    test('stops once, however often it is called, and leaves nothing', async () => {
      const spec = made.spec();
      await provider.launch(spec);
      await Promise.all([provider.stop(spec.id, 'by-learner'), provider.stop(spec.id, 'by-learner')]);
      expect(await made.leftovers(spec.id)).toEqual([]);
      await provider.stop(spec.id, 'by-learner');
      expect(await runningIds()).toEqual([]);
    });

    test('cannot connect to a sandbox that does not exist', async () => {
      const { id } = made.spec();
      expect(await codeOf(provider.connect(id))).toBe('lost');
      expect(await codeOf(provider.stop(id, 'by-learner'))).toBe('none');
    });

    test('reports a dead runner once, and removes what it left', async () => {
      const [dead, alive] = [made.spec(), made.spec()];
      await Promise.all([provider.launch(dead), provider.launch(alive)]);
      await made.kill(dead.id);
      expect(await codeOf(provider.connect(dead.id))).toBe('lost');
      const { running, ended } = await provider.list();
      expect(running.map(({ id }) => id)).toEqual([alive.id]);
      expect(ended.map(({ id, reason }) => ({ id, reason }))).toEqual([{ id: dead.id, reason: undefined }]);
      expect(await made.leftovers(dead.id)).toEqual([]);
      expect((await provider.list()).ended).toEqual([]);
      await provider.stop(alive.id, 'by-learner');
    });

    test('can launch a lost sandbox again', async () => {
      const spec = made.spec();
      await provider.launch(spec);
      await made.kill(spec.id);
      await provider.launch(spec);
      expect(await runningIds()).toEqual([spec.id]);
      await provider.stop(spec.id, 'by-learner');
    });

    test.each([0, 20, 100, 300])(
      'can be cancelled %d ms after the launch, and leaves nothing',
      async (ms) => {
        const spec = made.spec();
        const launched = codeOf(provider.launch(spec, AbortSignal.timeout(ms)));
        expect(['cancelled', 'none']).toContain(await launched);
        if ((await launched) === 'none') await provider.stop(spec.id, 'by-learner');
        expect(await made.leftovers(spec.id)).toEqual([]);
      },
    );

    test('launches nothing for a signal that has fired already', async () => {
      const spec = made.spec();
      expect(await codeOf(provider.launch(spec, AbortSignal.abort()))).toBe('cancelled');
      expect(await made.leftovers(spec.id)).toEqual([]);
    });

    test('can be stopped while it launches', async () => {
      const spec = made.spec();
      const launched = codeOf(provider.launch(spec));
      await provider.stop(spec.id, 'by-learner');
      expect(['cancelled', 'none']).toContain(await launched);
      expect(await made.leftovers(spec.id)).toEqual([]);
    });

    test('reports a missing template, and leaves nothing', async () => {
      const spec = { ...made.spec(), templateDir: '/nonexistent/template' };
      expect(await codeOf(provider.launch(spec))).toBe('template-missing');
      expect(await made.leftovers(spec.id)).toEqual([]);
    });
  });
}
