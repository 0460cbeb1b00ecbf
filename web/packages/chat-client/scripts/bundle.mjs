// Bundles the client: `node scripts/bundle.mjs [demo]` writes dist/index.js and dist/live.js, or the copy that the demo
// page of the edge uses. That one is committed, so that nothing needs npm to run; test/unit/package.test.ts says when
// it is old.

import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
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
  ahead answer api arrived aside ask asking attempts begin changed connection count countAt emit endSession entries
  exchange factory fetchIt flush folders forget handleOf handlers happened heard identify ids isComplete isNew
  isTold isWanted isWatched knownAt lastReadAt letGo listsReadAt loadThread lost mark markStale mend moment moved
  onChange onClosed onConnecting onEnd onFailed onFrame onMended onRetry onSent onTotals onTyping onUnauthorized
  onWaiting onWatch outbox pageFrom parts readAt reading reads refreshToken rereadWith reset resume say setBlocked
  setFlags setHidden setUp shown stale stopped take tell thread told totals typed update view views wake watchAll
  watchers
`
  .trim()
  .split(/\s+/);

const INDEX = file('../src/index.ts');
const LIVE = file('../src/live/index.ts');
const DIST = file('../dist');

const OPTIONS = {
  bundle: true,
  minify: true,
  mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`),
  format: 'esm',
  target: 'es2022',
};

/** dist/live.js takes what dist/index.js exports from there: the classes are the same for who imports both. */
const indexIsBeside = {
  name: 'index-is-beside',
  setup: (building) =>
    building.onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({ path: './index.js', external: true })),
};

/** @returns {Promise<Record<string, string>>} What `index.js` and `live.js` are, and their source maps. */
export async function bundle() {
  const package_ = { ...OPTIONS, sourcemap: true, outdir: DIST, plugins: [indexIsBeside], write: false };
  const index = await build({ ...package_, entryPoints: { index: INDEX }, mangleCache: {} });
  // What was shortened there has the same name here.
  const { mangleCache } = index;
  const live = await build({ ...package_, entryPoints: { live: LIVE }, mangleCache });
  return Object.fromEntries(
    [...index.outputFiles, ...live.outputFiles].map(({ path, text }) => [basename(path), text]),
  );
}

/** Everything in one. */
export async function bundleForDemo() {
  const { outputFiles } = await build({ ...OPTIONS, entryPoints: [LIVE], write: false });
  return `${BANNER}\n${outputFiles[0].text}`;
}

if (argv[1] === file('bundle.mjs')) {
  if (argv[2] === 'demo') writeFileSync(DEMO_BUNDLE, await bundleForDemo());
  else {
    mkdirSync(DIST, { recursive: true });
    for (const [name, text] of Object.entries(await bundle())) writeFileSync(join(DIST, name), text);
  }
}
