/** What every provider must do, as tests: a provider's own test file calls this with a way to make one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LabError } from '../protocol/errors';
import type { SandboxSpec } from '../store/sandboxes';
import type { SandboxProvider } from '../providers/provider';

/** A provider, and what the tests must be able to do and see beside it. */
export interface ProviderUnderTest {
  provider: SandboxProvider;
  /** A spec with an id of its own, of a template that is there. */
  spec(): SandboxSpec;
  /** Kills the sandbox's runner as a crash would, without a word to the provider. */
  kill(sandboxId: string): Promise<void>;
  /** What there is of the sandbox: processes, files, groups, each in words. */
  remains(sandboxId: string): Promise<string[]>;
  remove(): Promise<void>;
}

/** Under TCG on a busy machine; launching alone needs no pair that runs. */
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

    test('launches once, however often it is asked, and tells what it launched', async () => {
      const spec = made.spec();
      await Promise.all([provider.launch(spec), provider.launch(spec)]);
      await provider.launch(spec);
      expect((await provider.list()).running).toEqual([spec]);
      (await provider.connect(spec.id)).destroy();
      await provider.stop(spec.id, 'by-learner');
    });

    test('stops once, however often it is asked, and leaves nothing', async () => {
      const spec = made.spec();
      await provider.launch(spec);
      await Promise.all([provider.stop(spec.id, 'by-learner'), provider.stop(spec.id, 'by-learner')]);
      expect(await made.remains(spec.id)).toEqual([]);
      await provider.stop(spec.id, 'by-learner');
      expect(await runningIds()).toEqual([]);
    });

    test('has no way to a sandbox that is not there', async () => {
      const { id } = made.spec();
      expect(await codeOf(provider.connect(id))).toBe('lost');
      expect(await codeOf(provider.stop(id, 'by-learner'))).toBe('none');
    });

    test('tells of a dead runner once, and removes what it left', async () => {
      const [dead, alive] = [made.spec(), made.spec()];
      await Promise.all([provider.launch(dead), provider.launch(alive)]);
      await made.kill(dead.id);
      expect(await codeOf(provider.connect(dead.id))).toBe('lost');
      const { running, ended } = await provider.list();
      expect(running.map(({ id }) => id)).toEqual([alive.id]);
      expect(ended.map(({ id, reason }) => ({ id, reason }))).toEqual([{ id: dead.id, reason: undefined }]);
      expect(await made.remains(dead.id)).toEqual([]);
      expect((await provider.list()).ended).toEqual([]);
      await provider.stop(alive.id, 'by-learner');
    });

    test('can launch again what was lost', async () => {
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
        expect(await made.remains(spec.id)).toEqual([]);
      },
    );

    test('launches nothing for a signal that has fired already', async () => {
      const spec = made.spec();
      expect(await codeOf(provider.launch(spec, AbortSignal.abort()))).toBe('cancelled');
      expect(await made.remains(spec.id)).toEqual([]);
    });

    test('can be stopped while it launches', async () => {
      const spec = made.spec();
      const launched = codeOf(provider.launch(spec));
      await provider.stop(spec.id, 'by-learner');
      expect(['cancelled', 'none']).toContain(await launched);
      expect(await made.remains(spec.id)).toEqual([]);
    });

    test('says so when the template is missing, and leaves nothing', async () => {
      const spec = { ...made.spec(), templateDir: '/nonexistent/template' };
      expect(await codeOf(provider.launch(spec))).toBe('template-missing');
      expect(await made.remains(spec.id)).toEqual([]);
    });
  });
}
