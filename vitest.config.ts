import { defineConfig } from 'vitest/config';

/**
 * A worker that loads the modules anew for each file takes longer for that than for most files' tests. What a test changes for all
 * (timers, globals), it changes back.
 */
const isolate = false;

export default defineConfig({
  test: {
    tags: [{ name: 'alone', description: 'looks at times or memory, and so runs with nothing beside it' }],
    projects: [
      {
        test: {
          name: 'unit',
          isolate,
          include: ['{app,server,docker}/**/*.test.{ts,tsx}'],
          exclude: ['**/*.pair.test.ts', '**/*.e2e.test.ts', 'node_modules/**'],
          // Property tests run for seconds, and longer on a machine full of guests.
          testTimeout: 60_000,
          maxWorkers: '100%',
        },
      },
      {
        // Two files at a time: one pair alone leaves a third to a half of two cores idle under TCG, waiting for this and that. The
        // timeouts are for TCG, 10 to 20 times slower than KVM.
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
          // What a page shows a moment later takes longer on a machine full of guests than the second that is the default.
          expect: { poll: { timeout: 30_000 } },
          hookTimeout: 300_000,
          maxWorkers: 2,
        },
      },
    ],
  },
});
