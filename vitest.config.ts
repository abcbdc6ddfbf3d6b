import { defineConfig } from 'vitest/config';

/**
 * Loading the modules again for each file would take longer than most files' tests. A test that changes global state (timers, globals)
 * must restore it.
 */
const isolate = false;

export default defineConfig({
  test: {
    tags: [{ name: 'alone', description: 'measures time or memory, so it runs alone' }],
    projects: [
      {
        test: {
          name: 'unit',
          isolate,
          include: ['{app,server,docker}/**/*.test.{ts,tsx}'],
          exclude: ['**/*.pair.test.ts', '**/*.e2e.test.ts', 'node_modules/**'],
          // Property tests take seconds, and longer on a machine full of guests.
          testTimeout: 60_000,
          // A state comes later on a busy machine than within the second that is the default.
          expect: { poll: { timeout: 30_000 } },
          maxWorkers: '100%',
        },
      },
      {
        // Two files at a time: under TCG, one pair alone leaves a third to a half of two cores idle while it waits. The timeouts are for
        // TCG, which is 10 to 20 times slower than KVM.
        test: {
          name: 'pair',
          isolate,
          globalSetup: 'server/testing/vitest-setup.ts',
          include: ['{app,server}/**/*.pair.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'e2e',
          isolate,
          globalSetup: 'server/testing/vitest-setup.ts',
          include: ['{app,server}/**/*.e2e.test.ts'],
          testTimeout: 900_000,
          // On a machine full of guests, a page may need longer than the default of one second to show something.
          expect: { poll: { timeout: 30_000 } },
          hookTimeout: 300_000,
          maxWorkers: 2,
        },
      },
    ],
  },
});
