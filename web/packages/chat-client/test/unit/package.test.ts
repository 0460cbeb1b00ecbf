import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { bundleForDemo, DEMO_BUNDLE } from '../../scripts/demo.mjs';

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

test('the whole of it is at most 12 KB compressed', async () => {
  const { outputFiles } = await build({
    entryPoints: [file('src/index.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  });
  const [bundle] = outputFiles;
  expect(gzipSync(bundle?.contents ?? '', { level: 9 }).length).toBeLessThanOrEqual(12 * 1024);
});

test('it depends on nothing at run time', () => {
  const manifest = JSON.parse(readFileSync(file('package.json'), 'utf8')) as Record<string, unknown>;
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies']) {
    expect(manifest).not.toHaveProperty(kind);
  }
});

test('the copy that the demo page uses is built from this (npm run build:demo)', async () => {
  expect(readFileSync(DEMO_BUNDLE, 'utf8')).toBe(await bundleForDemo());
});
