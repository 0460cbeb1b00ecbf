// Who is signed in: nothing of one person reaches the next, and what has ended stays ended.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type OutboxStorage, type Outgoing, UnauthorizedError } from '../../src/index.js';
import { FakeChat, type FakeSocket } from '../support/fake.js';
import { clientOf, clients, live, loadAll, pass, sharedClient, texts } from '../support/people.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const phaseOf = (client: ReturnType<typeof clientOf>) => client.state.getSnapshot().phase;

/** Storage in memory, by person. */
class Kept implements OutboxStorage {
  readonly items = new Map<string, Outgoing>();
  load = async (userId: string) =>
    [...this.items].filter(([key]) => key.startsWith(`${userId} `)).map(([, item]) => item);
  put = async (userId: string, item: Outgoing) => {
    this.items.set(`${userId} ${item.clientMessageId}`, item);
  };
  remove = async (userId: string, key: string) => {
    this.items.delete(`${userId} ${key}`);
  };
  clear = async () => this.items.clear();
}

test('answers that come after signing out are not taken, and not shown to the next person', async () => {
  const server = new FakeChat();
  let who = 'ada';
  const secret = server.start('cy', 'ada', 'for ada only').conversation.id;
  const client = sharedClient(server, () => who);
  await live(client);
  server.latency = () => 200;
  const lists = loadAll(client);
  const thread = client
    .conversation(secret)
    .load()
    .catch((error: Error) => error.name);
  await pass(150); // answered, and on its way
  await client.signOut();
  server.latency = () => 0;
  who = 'bob';
  await live(client);
  await pass(5_000);
  await lists;
  expect(await thread).toBe('UnauthorizedError');
  expect(Object.values(client.conversations).flatMap((each) => each.getSnapshot().items)).toEqual([]);
  expect(Object.values(client.conversations).map((each) => each.getSnapshot().loaded)).not.toContain(true);
  expect(client.conversation(secret).getSnapshot()).toMatchObject({ conversation: null, messages: [] });
  expect(phaseOf(client)).toBe('live');
});

test('what is tried again after signing out is not tried as the next person', async () => {
  const server = new FakeChat();
  let who = 'ada';
  const { id } = server.start('ada', 'bob', 'hello').conversation;
  server.answer('bob', id, 'accept');
  const client = sharedClient(server, () => who);
  await live(client);
  void client.conversation(id).load();
  await pass(10);
  server.fault = () => 503;
  const muted = client
    .conversation(id)
    .setMuted(true)
    .catch((error: Error) => error.name);
  client.conversation(id).send('mine');
  await pass(100);
  await client.signOut();
  server.fault = null;
  who = 'bob';
  await live(client);
  await pass(30_000);
  expect(await muted).toBe('UnauthorizedError');
  const talk = server.talks.get(id);
  expect(talk?.members.map((each) => each.muted)).toEqual([false, false]);
  expect(talk?.messages.map((each) => each.text)).toEqual(['hello']);
});

test('what waited when a sign-in was asked for is not sent by whoever signs in next', async () => {
  const server = new FakeChat();
  let who = 'ada';
  let signedIn = true;
  const { id } = server.start('ada', 'bob', 'hello').conversation;
  server.answer('bob', id, 'accept');
  const storage = new Kept();
  const client = sharedClient(server, () => who, {
    storage,
    getToken: async () => {
      if (!signedIn) throw new UnauthorizedError();
      return 'token';
    },
  });
  await live(client);
  void loadAll(client);
  void client.conversation(id).load();
  await pass(10);
  signedIn = false;
  client.conversation(id).send('from ada');
  await pass(1_000);
  expect(phaseOf(client)).toBe('authRequired');
  expect(texts(client, id)).toEqual(['hello', 'from ada']);
  client.retryNow(); // a click on a banner that is still shown
  await pass(1_000);
  who = 'bob';
  signedIn = true;
  server.start('dee', 'bob', 'for bob');
  client.connect();
  await pass(30_000);
  const { items, loaded } = client.conversations.requests.getSnapshot();
  expect([loaded, items.map((each) => each.lastMessage?.text)]).toEqual([true, ['for bob']]);
  expect(texts(client, id)).toEqual([]);
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual(['hello']);
  // It is not lost: the browser keeps it for its writer.
  client.disconnect();
  who = 'ada';
  await live(client);
  await pass(1_000);
  expect(server.talks.get(id)?.messages.at(-1)).toMatchObject({ text: 'from ada', senderId: 'ada' });
});

test('a resync that ends after a disconnect, or for want of a session, brings nobody back to live', async () => {
  const server = new FakeChat();
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  let signedIn = true;
  const ada = clientOf(server, 'ada', {
    getToken: async () => {
      if (!signedIn) throw new UnauthorizedError();
      return 'token';
    },
  });
  await live(ada);
  void loadAll(ada);
  void ada.conversation(id).load();
  await pass(10);
  const away = async () => {
    server.flush();
    server.latency = () => 300;
    server.cut('ada');
    server.send('ada', id, 'from elsewhere'); // something to read again
    for (let n = 0; n < 300 && phaseOf(ada) !== 'resync'; n += 1) await pass(10);
    expect(phaseOf(ada)).toBe('resync');
  };
  await away();
  ada.disconnect();
  await pass(10_000);
  expect(phaseOf(ada)).toBe('idle');
  server.latency = () => 0;
  await live(ada);
  await away();
  signedIn = false;
  await pass(10_000);
  expect(phaseOf(ada)).toBe('authRequired');
});

test('a listener that signs out leaves no cursor of that person behind', async () => {
  const server = new FakeChat();
  let who = 'ada';
  const client = sharedClient(server, () => who);
  await live(client);
  client.on('frame', ({ type }) => {
    if (type === 'conversation.requested') void client.signOut();
  });
  server.start('cy', 'ada', 'hello');
  await pass(10);
  expect(phaseOf(client)).toBe('idle');
  who = 'bob';
  await live(client);
  expect(new URL((server.opened.at(-1) as FakeSocket).url).searchParams.get('cursor')).toBeNull();
});

test('whose messages are whose is right also for what was read before the welcome said who this is', async () => {
  const server = new FakeChat();
  const { id } = server.start('ada', 'bob', 'mine').conversation;
  const ada = clientOf(server, 'ada', {
    openSocket: (url, protocols) => {
      server.latency = () => 500;
      const socket = server.openAs('ada')(url, protocols);
      server.latency = () => 0;
      return socket;
    },
  });
  ada.connect();
  void ada.conversation(id).load();
  await pass(100);
  expect(ada.conversation(id).getSnapshot().loaded).toBe(true);
  let told = 0;
  ada.conversation(id).subscribe(() => {
    told += 1;
  });
  await pass(1_000);
  expect(phaseOf(ada)).toBe('live');
  expect(told).toBeGreaterThan(0);
  expect(ada.conversation(id).getSnapshot().messages[0]).toMatchObject({ mine: true, status: 'sent' });
});

test('signing out in one tab signs the other tabs of that person out, and nobody else', async () => {
  const open = new Set<FakeChannel>();
  class FakeChannel {
    onmessage: ((event: { data: unknown }) => void) | null = null;
    constructor(readonly name: string) {
      open.add(this);
    }
    postMessage(data: unknown): void {
      for (const each of open) if (each !== this) setTimeout(() => each.onmessage?.({ data }), 1);
    }
    close(): void {
      open.delete(this);
    }
  }
  vi.stubGlobal('BroadcastChannel', FakeChannel);
  const server = new FakeChat();
  const { id } = server.start('ada', 'bob', 'hello').conversation;
  server.answer('bob', id, 'accept');
  const storage = new Kept();
  const [one, two] = [clientOf(server, 'ada', { storage }), clientOf(server, 'ada', { storage })];
  const bob = clientOf(server, 'bob');
  for (const each of [one, two, bob]) await live(each);
  server.fault = () => 503;
  two.conversation(id).send('waits in the second tab');
  await pass(10);
  let asked = 0;
  two.on('authRequired', () => {
    asked += 1;
  });
  await one.signOut();
  await pass(10);
  server.fault = null;
  await pass(30_000);
  expect([phaseOf(one), phaseOf(two), phaseOf(bob)]).toEqual(['idle', 'authRequired', 'live']);
  expect([asked, two.state.getSnapshot().userId, storage.items.size]).toEqual([1, null, 0]);
  expect(texts(two, id)).toEqual([]);
  expect(server.talks.get(id)?.messages).toHaveLength(1);
  for (const each of [one, two, bob]) each.disconnect();
  expect(open.size).toBe(0);
});

test('nothing is asked for after signing out, so nobody is asked to sign in again', async () => {
  const server = new FakeChat();
  let signedIn = true;
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  for (let n = 0; n < 60; n += 1) server.send('bob', id, `m${n}`);
  const ada = clientOf(server, 'ada', {
    getToken: async () => {
      if (!signedIn) throw new UnauthorizedError();
      return 'token';
    },
  });
  await live(ada);
  void loadAll(ada);
  void ada.conversation(id).load();
  await pass(10);
  server.latency = () => 300;
  void ada
    .conversation(id)
    .loadOlder()
    .catch(() => undefined);
  // A change that the service does not show yet: it is asked for again and again.
  const data = { message: { ...server.talks.get(id)?.messages.at(-1), seq: 70, changeSeq: 70 } };
  server.opened[0]?.tell({ type: 'message.created', eventId: 'x', conversationId: id, data });
  await pass(700);
  await ada.signOut();
  signedIn = false;
  server.calls.length = 0;
  await pass(60_000);
  expect([phaseOf(ada), server.calls]).toEqual(['idle', []]);
  server.latency = () => 0;
  signedIn = true;
  await live(ada);
  await pass(10_000);
  expect(server.calls).toEqual([]);
});
