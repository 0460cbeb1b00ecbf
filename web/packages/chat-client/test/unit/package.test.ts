import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, test, vi } from 'vitest';
import { bundle, bundleForDemo, DEMO_BUNDLE, INTERNAL } from '../../scripts/bundle.mjs';
import type { LiveClient } from '../../src/live/index.js';
import { FakeChat } from '../support/fake.js';

type Modules = { index: typeof import('../../src/index.js'); live: typeof import('../../src/live/index.js') };

/** What is built, as modules of their own. */
async function bundled(): Promise<Modules> {
  const url = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const { 'index.js': index, 'live.js': live } = await bundle();
  const beside = live.replaceAll('"./index.js"', `"${url(index)}"`);
  return { index: await import(url(index)), live: await import(url(beside)) };
}

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

test('the client is at most 12 KB compressed, and what LiveClient adds at most 3 KB', async () => {
  const { 'index.js': index, 'live.js': more } = await bundle();
  expect(gzipSync(index, { level: 9 }).length).toBeLessThanOrEqual(12 * 1024);
  expect(gzipSync(more, { level: 9 }).length).toBeLessThanOrEqual(3 * 1024);
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
  const { ChatClient } = (await bundled()).index;
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

test('the bundle of LiveClient does what its source does, on the classes of the other', async () => {
  const server = new FakeChat();
  const { index, live } = await bundled();
  expect(live.ChatProblem).toBe(index.ChatProblem);
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  const [ada, bob] = ['ada', 'bob'].map((each) => {
    const client = new live.LiveClient({
      baseUrl: 'http://chat.test',
      getToken: async () => 'token',
      fetch: server.fetchAs(each),
      openSocket: server.openAs(each),
    });
    client.connect();
    return client;
  }) as [LiveClient, LiveClient];
  expect(ada).toBeInstanceOf(index.ChatClient);
  await vi.waitFor(() => expect(bob.state.getSnapshot().phase).toBe('live'), 30_000);
  const talk = ada.conversation(id);
  const close = talk.open();
  await vi.waitFor(() => expect(talk.live.getSnapshot().isOpen).toBe(true), 30_000);
  const stop = ada.presence('bob').subscribe(() => {});
  server.setPresence('bob', 'away');
  expect(ada.presence('bob').getSnapshot().status).toBe('away');
  bob.conversation(id).keystroke();
  await vi.waitFor(() => expect(talk.live.getSnapshot().typing).toEqual(['bob']), 30_000);
  const nowhere = ada.conversation('nowhere');
  nowhere.open();
  await vi.waitFor(() => expect(nowhere.live.getSnapshot().error?.code).toBe('not_found'), 30_000);
  expect(nowhere.live.getSnapshot().error).toBeInstanceOf(index.ChatProblem);
  close();
  stop();
  for (const each of [ada, bob]) each.disconnect();
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
