import { defineConfig } from 'vitest/config';

// Against a running system: tests/e2e/test_web_client.py starts one and runs this.
export default defineConfig({
  test: {
    setupFiles: ['test/support/setup.ts'],
    include: ['test/edge/**/*.test.ts'],
    pool: 'threads',
    poolOptions: { threads: { singleThread: true } },
    testTimeout: 240_000, // a hang; a slow machine has its time
    hookTimeout: 60_000,
  },
});
