// Bundles the client: `node scripts/bundle.mjs [demo]` writes dist/index.js, or the copy that the demo page of the
// edge uses. That one is committed, so that nothing needs npm to run; test/unit/package.test.ts says when it is old.

import { writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

export const DEMO_BUNDLE = file('../../../../edge_gateway/demo/chat-client.js');
const BANNER = '// @splits/chat-client; built by `npm run build:demo` in web/packages/chat-client.';

/**
 * Properties that only the client's own modules share, and that may be shortened therefore. None may be one of the
 * service's, the application's or the browser's: the tests run the bundle, too.
 */
export const INTERNAL = `
  ahead answer api arrived aside ask asking attempts begin changed connection count countAt emit endSession
  entries exchange factory fetchIt flush folders forget handleOf handlers happened heard identify ids isComplete
  isNew isWanted isWatched lastReadAt listsReadAt loadThread lost mark markStale mend moment moved onChange
  onConnecting onEnd onFailed onFrame onMended onRetry onSent onTotals onUnauthorized onWaiting outbox pageFrom
  parts reading reads refreshToken rereadWith reset resume say setBlocked setFlags shown stale stopped take tell
  thread told totals update view views wake watchAll
`
  .trim()
  .split(/\s+/);

const OPTIONS = {
  entryPoints: [file('../src/index.ts')],
  bundle: true,
  minify: true,
  mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`),
  format: 'esm',
  target: 'es2022',
};

/** @returns {Promise<string>} */
export async function bundle() {
  const { outputFiles } = await build({ ...OPTIONS, write: false });
  return outputFiles[0].text;
}

export const bundleForDemo = async () => `${BANNER}\n${await bundle()}`;

if (argv[1] === file('bundle.mjs')) {
  if (argv[2] === 'demo') writeFileSync(DEMO_BUNDLE, await bundleForDemo());
  else await build({ ...OPTIONS, sourcemap: true, outfile: file('../dist/index.js') });
}
