import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    setupFiles: ['test/support/setup.ts'],
    testTimeout: 60_000, // a hang; a slow machine has its time
    include: ['test/unit/**/*.test.ts'],
    // Two cores are enough for all of it; more workers would only take them from whoever shares the machine.
    poolOptions: { threads: { maxThreads: 2 } },
    pool: 'threads',
  },
});
