import 'fake-indexeddb/auto';
import { IDBFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type ChatClient, IndexedDbStorage, type Outgoing } from '../../src/index.js';
import { FakeChat } from '../support/fake.js';
import { clientOf, clients, live, pass } from '../support/people.js';

let server: FakeChat;
let ada: ChatClient;
let id: string;

beforeEach(async () => {
  // IndexedDB answers by setImmediate, which stays real.
  vi.useFakeTimers({
    now: new Date('2026-01-05T08:00:00Z'),
    toFake: ['setTimeout', 'clearTimeout', 'Date'],
  });
  server = new FakeChat();
  id = server.start('bob', 'ada', 'hello').conversation.id;
  server.answer('ada', id, 'accept');
  ada = clientOf(server, 'ada');
  await live(ada);
  void ada.conversation(id).load();
  await pass(10);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const shown = (client = ada) =>
  client
    .conversation(id)
    .getSnapshot()
    .messages.filter((each) => each.mine)
    .map((each) => `${each.text}: ${each.status}`);
const sends = () => server.calls.filter((each) => each.method === 'POST' && each.path.endsWith('/messages'));
const stored = () => server.talks.get(id)?.messages.filter((each) => each.senderId === 'ada') ?? [];

/** Time passes, and IndexedDB has answered. */
async function real(ms: number): Promise<void> {
  for (let n = 0; n < 40; n += 1) await new Promise((resolve) => setImmediate(resolve));
  await pass(ms);
  for (let n = 0; n < 40; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** The browser's Web Locks, as far as they are used: exclusive, in order. */
class FakeLocks {
  readonly #last = new Map<string, Promise<unknown>>();
  readonly #held = new Set<string>();

  request = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const before = this.#last.get(name);
    const own = (async () => {
      await before?.catch(() => undefined);
      this.#held.add(name);
      try {
        return await work();
      } finally {
        this.#held.delete(name);
      }
    })();
    this.#last.set(name, own);
    return own;
  };

  query = async () => ({ held: [...this.#held].map((name) => ({ name })) });
}

test('a message is shown at once, keeps its key, is sent, and read', async () => {
  server.latency = () => 100;
  const key = ada.conversation(id).send('hi');
  expect(shown()).toEqual(['hi: sending']);
  await pass(500);
  expect(shown()).toEqual(['hi: sent']);
  expect(ada.conversation(id).getSnapshot().messages.at(-1)).toMatchObject({
    key,
    clientMessageId: key,
    seq: 2,
  });
  server.read('bob', id, 2);
  await pass(10);
  expect(shown()).toEqual(['hi: read']);
});

test('messages of a conversation go one after the other, others do not wait for them', async () => {
  const elsewhere = server.start('cy', 'ada', 'x').conversation.id;
  server.fault = ({ path }) => (path === `/v1/conversations/${id}/messages` ? 503 : undefined);
  for (const text of ['one', 'two', 'three']) ada.conversation(id).send(text);
  ada.conversation(elsewhere).send('here');
  await pass(100);
  expect(server.talks.get(elsewhere)?.messages.map((each) => each.text)).toEqual(['x', 'here']);
  expect(shown()).toEqual(['one: queued', 'two: queued', 'three: queued']);
  server.fault = null;
  await pass(20_000);
  expect(stored().map((each) => each.text)).toEqual(['one', 'two', 'three']);
});

test.each([['network'], [408], [429], [502], [503], [504]] as const)(
  'after %s the same key is sent again',
  async (fault) => {
    let times = 0;
    server.fault = ({ path }) => (path.endsWith('/messages') && times++ < 3 ? fault : undefined);
    ada.conversation(id).send('again');
    await pass(60_000);
    expect(shown()).toEqual(['again: sent']);
    expect(new Set(sends().map((each) => each.body.clientMessageId)).size).toBe(1);
    expect(ada.state.getSnapshot().counts.retries).toBe(3);
  },
);

test('an answer that got lost costs no second message', async () => {
  let times = 0;
  const real = server.fetchAs('ada');
  const careless = clientOf(server, 'ada', {
    fetch: (async (...a: Parameters<typeof fetch>) => {
      const answer = await real(...a);
      if (String(a[0]).endsWith('/messages') && times++ === 0) throw new TypeError('network');
      return answer;
    }) as typeof fetch,
  });
  await live(careless);
  careless.conversation(id).send('once');
  await pass(20_000);
  expect(stored().map((each) => each.text)).toEqual(['once']);
});

test('a refused message fails with its reason, lets the next pass, and can be retried or discarded', async () => {
  server.block('bob', 'ada', true);
  const failed: string[] = [];
  ada.on('messageFailed', ({ message }) => failed.push(String(message.problem?.code)));
  const first = ada.conversation(id).send('first');
  const second = ada.conversation(id).send('second');
  await pass(1_000);
  expect(shown()).toEqual(['first: failed', 'second: failed']);
  expect(failed).toEqual(['undeliverable', 'undeliverable']);
  server.block('bob', 'ada', false);
  ada.conversation(id).discard(first);
  ada.conversation(id).retry(second);
  await pass(1_000);
  expect(shown()).toEqual(['second: sent']);
  expect(stored()[0]?.clientMessageId).toBe(second);
});

test('at most a hundred wait, and none for longer than a day', async () => {
  server.fault = () => 'network';
  for (let n = 0; n < 100; n += 1) ada.conversation(id).send(`m${n}`);
  expect(() => ada.conversation(id).send('one too many')).toThrow('100 messages');
  vi.setSystemTime(Date.now() + 25 * 3600 * 1000);
  await pass(40_000);
  expect(shown().every((each) => each.endsWith(': failed'))).toBe(true);
  expect(ada.conversation(id).getSnapshot().messages.at(-1)?.problem?.code).toBe('expired');
});

test('what a page left unsent the next one sends, in order and under the same keys', async () => {
  const factory = new IDBFactory();
  const before = clientOf(server, 'ada', { storage: new IndexedDbStorage(factory) });
  await live(before);
  server.fault = () => 'network';
  const keys = ['one', 'two', 'three'].map((text) => before.conversation(id).send(text));
  await real(100);
  before.disconnect();
  server.fault = null;
  const other = clientOf(server, 'bob', { storage: new IndexedDbStorage(factory) });
  await live(other);
  await real(1_000);
  expect(stored()).toEqual([]);
  const after = clientOf(server, 'ada', { storage: new IndexedDbStorage(factory) });
  await live(after);
  await real(1_000);
  expect(stored().map((each) => [each.text, each.clientMessageId])).toEqual(
    ['one', 'two', 'three'].map((text, n) => [text, keys[n]]),
  );
  expect(await new IndexedDbStorage(factory).load('ada')).toEqual([]);
});

test('what one open page sends no other one does; once it has ended, one of the others does', async () => {
  vi.stubGlobal('navigator', { locks: new FakeLocks() });
  const factory = new IDBFactory();
  const page = () => clientOf(server, 'ada', { storage: new IndexedDbStorage(factory) });
  const first = page();
  await live(first);
  await real(10);
  let isRefused = true;
  server.fault = ({ path }) => (isRefused && path.endsWith('/messages') ? 'network' : undefined);
  const keys = ['one', 'two'].map((text) => first.conversation(id).send(text));
  await real(100);
  const [second, third] = [page(), page()];
  second.connect();
  third.connect();
  await real(5_000);
  expect([shown(first).length, shown(second), shown(third)]).toEqual([2, [], []]);
  first.disconnect();
  second.disconnect();
  third.disconnect();
  isRefused = false;
  server.calls.length = 0;
  const [fourth, fifth] = [page(), page()];
  fourth.connect();
  fifth.connect();
  await real(20_000);
  expect(stored().map((each) => each.clientMessageId)).toEqual(keys);
  expect(sends()).toHaveLength(2);
  expect(await new IndexedDbStorage(factory).load('ada')).toEqual([]);
});

test('what was sent before the welcome is not kept, and does not come back with the next page', async () => {
  const factory = new IDBFactory();
  const page = clientOf(server, 'ada', {
    storage: new IndexedDbStorage(factory),
    openSocket: (url, protocols) => {
      server.latency = () => 500;
      const socket = server.openAs('ada')(url, protocols);
      server.latency = () => 0;
      return socket;
    },
  });
  page.connect();
  page.conversation(id).send('early');
  await real(100);
  expect(stored().map((each) => each.text)).toEqual(['early']);
  await real(1_000);
  expect(page.state.getSnapshot().phase).toBe('live');
  expect(await new IndexedDbStorage(factory).load('ada')).toEqual([]);
});

test('what is given up while the kept ones are being read does not come back with them', async () => {
  let answer: (items: Outgoing[]) => void = () => undefined;
  const kept: Outgoing[] = [];
  const page = clientOf(server, 'ada', {
    storage: {
      load: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
      put: async (_, item) => void kept.push(item),
      remove: async () => undefined,
      clear: async () => undefined,
    },
  });
  await live(page);
  server.fault = () => 'network';
  const key = page.conversation(id).send('no, better not');
  await pass(100);
  page.conversation(id).discard(key);
  answer(kept);
  server.fault = null;
  await pass(5_000);
  expect([shown(page), stored()]).toEqual([[], []]);
});

test('signing out wipes what is kept and what is held', async () => {
  const storage = new IndexedDbStorage(new IDBFactory());
  const client = clientOf(server, 'ada', { storage });
  await live(client);
  server.fault = () => 'network';
  client.conversation(id).send('secret');
  for (let n = 0; n < 40; n += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(await storage.load('ada')).toHaveLength(1);
  await client.signOut();
  expect(await storage.load('ada')).toEqual([]);
  expect(client.conversation(id).getSnapshot().messages).toEqual([]);
  expect(client.state.getSnapshot()).toMatchObject({ phase: 'idle', userId: null });
});

test('what is read is shown at once and told once, two seconds later', async () => {
  for (const text of ['a', 'b', 'c']) server.send('bob', id, text);
  await pass(10);
  expect(ada.conversation(id).getSnapshot().conversation?.unreadCount).toBe(4);
  ada.conversation(id).markRead(2);
  expect(ada.conversation(id).getSnapshot().conversation?.unreadCount).toBe(2);
  await pass(1_000);
  ada.conversation(id).markRead();
  expect(ada.conversation(id).getSnapshot().conversation?.unreadCount).toBe(0);
  await pass(5_000);
  const reads = server.calls.filter((each) => each.path.endsWith('/read'));
  expect(reads.map((each) => each.body.lastReadSeq)).toEqual([4]);
});

test('a gap in the changes is mended without the application knowing', async () => {
  server.delivery = () => 'lost';
  const lost = server.send('bob', id, 'lost');
  server.edit('bob', id, lost.id, 'lost and edited');
  server.delivery = () => 'now';
  server.send('bob', id, 'heard');
  await pass(5_000);
  const texts = ada
    .conversation(id)
    .getSnapshot()
    .messages.map((each) => each.text);
  expect(texts).toEqual(['hello', 'lost and edited', 'heard']);
  expect(server.calls.some((each) => each.path.includes('/changes?after='))).toBe(true);
  expect(ada.state.getSnapshot().counts.mended).toBe(1);
});
