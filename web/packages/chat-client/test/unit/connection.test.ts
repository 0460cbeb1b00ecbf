import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { delayBefore } from '../../src/backoff.js';
import { type ClientState, UnauthorizedError } from '../../src/index.js';
import { FakeChat, type FakeSocket } from '../support/fake.js';
import { clientOf, clients, live, loadAll, pass } from '../support/people.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

const last = (server: FakeChat): FakeSocket => server.opened.at(-1) as FakeSocket;

test('delays lie between half a second and a ceiling that doubles up to 20 s', () => {
  for (const [attempt, ceiling] of [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000].entries()) {
    expect(delayBefore(attempt, () => 0)).toBe(500);
    expect(delayBefore(attempt, () => 1)).toBe(ceiling);
  }
});

test('the token travels as a subprotocol and never in the address', async () => {
  const server = new FakeChat();
  await live(clientOf(server, 'ada'));
  expect(last(server).protocols).toEqual(['chat.v1', 'bearer.token-of-ada']);
  expect(last(server).url).toBe('ws://chat.test/ws/chat');
});

test('a lost socket comes back, resumes from its cursor and gets what it missed', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  await live(ada);
  void loadAll(ada);
  await pass(10);
  server.answer('ada', id, 'accept'); // an event, hence a cursor
  await pass(300);
  const phases: string[] = [];
  ada.on('state', ({ phase }) => phases.at(-1) !== phase && phases.push(phase));
  const missed: number[] = [];
  ada.on('resumed', (data) => missed.push(data.missed));
  server.cut('ada');
  server.send('bob', id, 'while away');
  await pass(2_000);
  expect(new URL(last(server).url).searchParams.get('cursor')).toBeTruthy();
  expect(phases).toEqual(['reconnecting', 'resumed', 'live']);
  expect(missed).toEqual([1]);
  expect(ada.conversations.inbox.getSnapshot().items[0]?.lastMessage?.text).toBe('while away');
  expect(ada.state.getSnapshot().counts).toMatchObject({ connects: 2, losses: 1, resumed: 1, resyncs: 0 });
});

test('a receipt that the service lost behind a cursor it still knows is read', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  await live(ada);
  server.send('ada', id, 'have you read this?');
  await pass(10_000);
  void loadAll(ada);
  await pass(10_000);
  const readByBob = () =>
    ada
      .conversation(id)
      .getSnapshot()
      .conversation?.participants.find((each) => each.user.id === 'bob')?.lastReadSeq;
  expect(readByBob()).toBe(0);
  server.accepting = false;
  server.cut('ada');
  server.read('bob', id, 2);
  server.loseLast('ada');
  server.accepting = true;
  await pass(20_000);
  expect(ada.state.getSnapshot().counts).toMatchObject({ resumed: 1, resyncs: 0 });
  expect(readByBob()).toBe(2);
});

test('without what it could resume from it reads again what is shown, as lists', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  const quiet = server.start('cy', 'ada', 'quiet').conversation.id;
  await pass(60_000);
  await live(ada);
  void loadAll(ada);
  await pass(10);
  await pass(60_000);
  server.flush();
  server.accepting = false;
  server.cut('ada');
  server.send('bob', id, 'while away');
  const reasons: string[] = [];
  ada.on('resync', ({ reason }) => reasons.push(reason));
  await pass(500);
  server.accepting = true;
  server.calls.length = 0;
  await pass(20_000);
  expect(reasons).toEqual(['cursor_unknown']);
  expect(ada.conversations.inbox.getSnapshot().items[0]?.unreadCount).toBe(2);
  const paths = server.calls.map((each) => each.path);
  expect(paths).toContain('/v1/conversations?folder=inbox&limit=50');
  expect(paths).not.toContain(`/v1/conversations/${id}`);
  expect(paths).not.toContain(`/v1/conversations/${quiet}`);
});

test('a token is renewed in band before it ends, as often as it takes', async () => {
  const server = new FakeChat();
  server.tokenLifeMs = 300_000;
  const asked: boolean[] = [];
  const ada = clientOf(server, 'ada', {
    getToken: async ({ forceRefresh }) => {
      asked.push(forceRefresh);
      return `token-${asked.length}`;
    },
  });
  await live(ada);
  await pass(600_000);
  const refreshes = last(server).said.filter((each) => each.type === 'auth.refresh');
  expect(refreshes.map((each) => (each as unknown as { token: string }).token)).toEqual([
    'token-2',
    'token-3',
  ]);
  expect(asked).toEqual([false, true, true]);
  expect(server.opened).toHaveLength(1);
});

test('a renewal that the service refuses is tried again while the token lives', async () => {
  const server = new FakeChat();
  server.tokenLifeMs = 60_000;
  const ada = clientOf(server, 'ada');
  await live(ada);
  last(server).refusals = 2;
  await pass(59_000);
  expect(last(server).said.filter((each) => each.type === 'auth.refresh')).toHaveLength(3);
  expect(ada.state.getSnapshot().counts.losses).toBe(0);
});

test('a token that is over or refused is replaced once; after that a sign-in is asked for', async () => {
  const server = new FakeChat();
  const asked: boolean[] = [];
  const ada = clientOf(server, 'ada', {
    getToken: async ({ forceRefresh }) => {
      asked.push(forceRefresh);
      return 'stale';
    },
  });
  server.closeWith = 4500;
  ada.connect();
  await pass(5_000);
  expect(asked).toEqual([false, true]);
  expect(ada.state.getSnapshot()).toMatchObject({ phase: 'authRequired', counts: { authRequired: 1 } });
  await pass(60_000);
  expect(server.opened).toHaveLength(2);
});

test('without a session everything stops, and a later connect begins again', async () => {
  const server = new FakeChat();
  let signedIn = false;
  const ada = clientOf(server, 'ada', {
    getToken: async () => {
      if (!signedIn) throw new UnauthorizedError();
      return 'token';
    },
  });
  let told = 0;
  ada.on('authRequired', () => {
    told += 1;
  });
  ada.connect();
  await pass(60_000);
  expect(ada.state.getSnapshot().phase).toBe('authRequired');
  expect([told, server.opened.length]).toEqual([1, 0]);
  signedIn = true;
  await live(ada);
});

test('a token that cannot be had for another reason is asked for again', async () => {
  const server = new FakeChat();
  let attempts = 0;
  const ada = clientOf(server, 'ada', {
    getToken: async () => {
      attempts += 1;
      if (attempts < 3) throw new TypeError('network');
      return 'token';
    },
  });
  ada.connect();
  await pass(5_000);
  expect(ada.state.getSnapshot().phase).toBe('live');
});

test('a revoked session asks for a sign-in at once, and says why', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  await live(ada);
  let told = 0;
  ada.on('authRequired', () => {
    told += 1;
  });
  server.cut('ada', 4501);
  expect(ada.state.getSnapshot()).toMatchObject({ phase: 'authRequired', code: 4501 });
  ada.conversation(id).send('waits for the next session');
  await pass(60_000);
  expect([told, server.opened.length, server.talks.get(id)?.messages.length]).toEqual([1, 1, 1]);
  await live(ada);
  await pass(1_000);
  expect(ada.state.getSnapshot().code).toBeNull();
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual([
    'one',
    'waits for the next session',
  ]);
});

test('a ban is a state of its own in which nothing is tried, until it is lifted and asked for again', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  await live(ada);
  server.cut('ada', 4502);
  expect(ada.state.getSnapshot()).toMatchObject({ phase: 'banned', code: 4502 });
  server.calls.length = 0;
  ada.conversation(id).send('waits');
  ada.retryNow();
  await pass(60_000);
  expect([server.opened.length, server.calls]).toEqual([1, []]);
  await live(ada);
  await pass(1_000);
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual(['one', 'waits']);
});

test.each([4503, 4504])('close code %i is the end', async (code) => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  await live(ada);
  server.cut('ada', code);
  await pass(60_000);
  expect(ada.state.getSnapshot()).toMatchObject({ phase: 'closed', code });
  expect(server.opened).toHaveLength(1);
});

test('a network that is back is used at once', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  await live(ada);
  server.accepting = false;
  server.cut('ada');
  await pass(40_000);
  const waiting = ada.state.getSnapshot() as ClientState;
  expect(waiting.phase).toBe('reconnecting');
  server.accepting = true;
  ada.retryNow();
  await pass(10);
  expect(ada.state.getSnapshot().phase).toBe('live');
});

test('an event that comes twice is counted and told once', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  await live(ada);
  void loadAll(ada);
  await pass(10);
  const heard: string[] = [];
  ada.on('message', ({ message }) => heard.push(message.text));
  server.delivery = () => 'twice';
  server.start('bob', 'ada', 'hello');
  await pass(1_000);
  expect(heard).toEqual(['hello']);
  expect(ada.unread.getSnapshot()).toEqual({ messages: 1, conversations: 1, requests: 1 });
  expect(ada.state.getSnapshot().counts.duplicates).toBe(2);
});

test('a snapshot is the same object until something changes', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  const other = server.start('cy', 'ada', 'hi').conversation.id;
  await live(ada);
  void loadAll(ada);
  void ada.conversation(id).load();
  void ada.conversation(other).load();
  await pass(1_000);
  const list = ada.conversations.requests.getSnapshot();
  const thread = ada.conversation(id).getSnapshot();
  server.send('ada', other, 'yes');
  await pass(1_000);
  expect(ada.conversation(id).getSnapshot()).toBe(thread);
  expect(ada.conversations.requests.getSnapshot()).not.toBe(list);
  expect(ada.conversations.requests.getSnapshot().items[0]).toBe(thread.conversation);
});

test('what could not be read after a resync is read as soon as it can be', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  await live(ada);
  void loadAll(ada);
  await pass(60_000);
  server.flush();
  server.accepting = false;
  server.cut('ada');
  server.send('bob', id, 'while away');
  server.accepting = true;
  server.fault = ({ path }) => (path.startsWith('/v1/conversations') ? 503 : undefined);
  await pass(60_000);
  expect(ada.state.getSnapshot().phase).toBe('live');
  expect(ada.conversations.inbox.getSnapshot().items[0]?.lastSeq).toBe(1);
  server.fault = null;
  await pass(21_000);
  expect(ada.conversations.inbox.getSnapshot().items[0]?.lastSeq).toBe(2);
});

test('a service that refuses even a fresh token asks for a sign-in, and keeps what is unsent', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  await live(ada);
  server.fault = () => 401;
  ada.conversation(id).send('later');
  await pass(1_000);
  expect(ada.state.getSnapshot().phase).toBe('authRequired');
  expect(
    ada
      .conversation(id)
      .getSnapshot()
      .messages.map((each) => each.status),
  ).toEqual(['queued']);
  server.fault = null;
  await live(ada);
  await pass(1_000);
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual(['one', 'later']);
});

test("an answer asked for before a change of one's own does not undo it", async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const { id } = server.start('bob', 'ada', 'one').conversation;
  await live(ada);
  void loadAll(ada);
  await pass(10);
  server.delivery = () => 'lost';
  const slow = [400, 10];
  server.latency = () => slow.shift() ?? 0;
  void ada.conversations.requests.load(); // read at 200 ms, answered at 400 ms
  void ada.conversation(id).setMuted(true);
  server.setFlags('ada', id, { muted: false });
  await pass(100);
  expect(ada.conversation(id).getSnapshot().conversation?.muted).toBe(true);
  await pass(5_000);
  expect(ada.conversation(id).getSnapshot().conversation?.muted).toBe(true);
});
