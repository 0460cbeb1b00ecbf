// Builds the copy of the client that the demo page of the edge uses. It is committed, so that nothing needs npm
// to run; test/unit/package.test.ts says when it is old.

import { writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

export const DEMO_BUNDLE = file('../../../../edge_gateway/demo/chat-client.js');

/** @returns {Promise<string>} */
export async function bundleForDemo() {
  const { outputFiles } = await build({
    entryPoints: [file('../src/index.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    banner: { js: '// @splits/chat-client; built by `npm run build:demo` in web/packages/chat-client.' },
    write: false,
  });
  return outputFiles[0].text;
}

if (argv[1] === file('demo.mjs')) writeFileSync(DEMO_BUNDLE, await bundleForDemo());
