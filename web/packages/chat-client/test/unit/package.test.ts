import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, test, vi } from 'vitest';
import { bundle, bundleForDemo, DEMO_BUNDLE, INTERNAL } from '../../scripts/bundle.mjs';
import { FakeChat } from '../support/fake.js';

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

test('the whole of it is at most 12 KB compressed', async () => {
  expect(gzipSync(await bundle(), { level: 9 }).length).toBeLessThanOrEqual(12 * 1024);
});

test('no name that is shortened in the bundle is one that others use', () => {
  const shared = ['types', 'state', 'problem'].map((each) => readFileSync(file(`src/${each}.ts`), 'utf8'));
  const declared = new Set(
    [...shared.join('\n').matchAll(/^\s*(?:readonly )?(\w+)\??: /gm)].map((each) => each[1]),
  );
  expect(INTERNAL.filter((each) => declared.has(each))).toEqual([]);
});

test('the bundle does what its source does', async () => {
  const server = new FakeChat();
  const code = `data:text/javascript,${encodeURIComponent(await bundle())}`;
  const { ChatClient } = (await import(code)) as typeof import('../../src/index.js');
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  const ada = new ChatClient({
    baseUrl: 'http://chat.test',
    getToken: async () => 'token',
    fetch: server.fetchAs('ada'),
    openSocket: server.openAs('ada'),
  });
  const talk = ada.conversation(id);
  const shown = () =>
    talk.getSnapshot().messages.map(({ text, status, mine }) => `${text}: ${mine ? status : 'theirs'}`);
  ada.connect();
  await vi.waitFor(() => expect(ada.state.getSnapshot().phase).toBe('live'), 30_000);
  await Promise.all(Object.values(ada.conversations).map((each) => each.load()));
  expect(ada.unread.getSnapshot()).toEqual({ messages: 1, conversations: 1, requests: 1 });
  await talk.load();
  await talk.accept();
  talk.send('and hello');
  await vi.waitFor(() => expect(shown()).toEqual(['hello: theirs', 'and hello: sent']), 30_000);
  await talk.setArchived(true);
  server.cut('ada');
  server.send('bob', id, 'how are you?');
  await vi.waitFor(() => expect(shown()).toHaveLength(3), 30_000);
  expect(ada.conversations.inbox.getSnapshot().items.map((each) => each.lastMessage?.text)).toEqual([
    'how are you?',
  ]);
  talk.markRead();
  expect(ada.unread.getSnapshot().messages).toBe(0);
  await ada.signOut();
  expect(shown()).toEqual([]);
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
