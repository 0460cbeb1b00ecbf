// What was missed is read again, also when reading it is broken off.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeChat, type FakeSocket } from '../support/fake.js';
import { clientOf, clients, live, loadAll, pass, shownBy, texts } from '../support/people.js';

let server: FakeChat;

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
  server = new FakeChat();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

const phaseOf = (client: ReturnType<typeof clientOf>) => client.state.getSnapshot().phase;

/** Somebody with an open thread, of which the server changes one message while they are away for long. */
async function away() {
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  const ada = clientOf(server, 'ada');
  await live(ada);
  void loadAll(ada);
  void ada.conversation(id).load();
  await pass(10);
  server.flush();
  server.accepting = false;
  server.cut('ada');
  server.send('bob', id, 'missed');
  await pass(300_000);
  server.accepting = true;
  return { ada, id };
}

test('a resync that a lost connection breaks off is done after the next, although that one resumes', async () => {
  const { ada, id } = await away();
  server.fault = ({ path }) => (path.startsWith('/v1/') ? 503 : undefined);
  await pass(21_000);
  expect(ada.state.getSnapshot().counts.resyncs).toBe(1);
  ada.disconnect();
  await pass(300_000); // the resumed welcome's watch list does not reach back so far
  server.fault = null;
  await live(ada);
  await pass(10_000);
  expect(ada.state.getSnapshot().counts).toMatchObject({ resumed: 1, resyncs: 1 });
  expect(texts(ada, id)).toEqual(['one', 'missed']);
  expect(ada.conversations.inbox.getSnapshot().items[0]?.unreadCount).toBe(2);
});

test('a watch list that cannot be read to its end is read later', async () => {
  const others = Array.from({ length: 230 }, (_, n) => `other${n}`);
  const talks = others.map((other) => server.start(other, 'ada', 'hello').conversation.id);
  for (const id of talks) server.answer('ada', id, 'accept');
  await pass(60_000);
  const ada = clientOf(server, 'ada');
  await live(ada);
  for (const id of [talks[0], talks[120], talks[229]]) void ada.conversation(id as string).load();
  await pass(10);
  server.flush();
  server.accepting = false;
  server.cut('ada');
  talks.forEach((id, n) => {
    server.send(others[n] as string, id, 'missed');
  });
  server.fault = ({ path }) => (path.startsWith('/v1/watch-list') ? 503 : undefined);
  server.accepting = true;
  await pass(30_000);
  server.fault = null;
  await pass(30_000);
  expect(phaseOf(ada)).toBe('live');
  for (const id of [talks[0], talks[120], talks[229]]) {
    expect(texts(ada, id as string)).toEqual(['hello', 'missed']);
  }
});

test('a gap that appears while a resync is running is mended, too, with edits in between', async () => {
  const { ada, id } = await away();
  server.latency = () => 100;
  for (let n = 0; n < 100 && phaseOf(ada) !== 'resync'; n += 1) await pass(100);
  expect(phaseOf(ada)).toBe('resync');
  const messages = server.talks.get(id)?.messages ?? [];
  server.delivery = () => 'lost';
  server.edit('bob', id, messages[1]?.id as string, 'missed, edited');
  await pass(50);
  server.edit('bob', id, messages[0]?.id as string, 'one, edited');
  server.delivery = () => 'now';
  await pass(50);
  server.send('bob', id, 'now');
  await pass(30_000);
  expect(texts(ada, id)).toEqual(['one, edited', 'missed, edited', 'now']);
  const fresh = clientOf(server, 'ada');
  server.latency = () => 0;
  await live(fresh);
  void loadAll(fresh);
  await pass(100);
  expect(await shownBy(ada, [id])).toEqual(await shownBy(fresh, [id]));
});

test('a connection whose other end is gone without a word is noticed when its token is renewed', async () => {
  server.tokenLifeMs = 60_000;
  const ada = clientOf(server, 'ada');
  await live(ada);
  (server.opened[0] as FakeSocket).deaf = true;
  await pass(45_000);
  expect(server.opened).toHaveLength(2);
  expect(phaseOf(ada)).toBe('live');
  expect(ada.state.getSnapshot().counts.losses).toBe(1);
});

test('whoever doubts that the other end is there may have it seen to', async () => {
  const ada = clientOf(server, 'ada');
  await live(ada);
  ada.retryNow();
  await pass(15_000);
  expect(server.opened).toHaveLength(1); // it answered
  (server.opened[0] as FakeSocket).deaf = true;
  ada.retryNow();
  await pass(15_000);
  expect(server.opened).toHaveLength(2);
  expect(phaseOf(ada)).toBe('live');
});

test('an attempt that hangs is given up when another is asked for', async () => {
  const ada = clientOf(server, 'ada');
  server.latency = () => 9_000;
  ada.connect();
  await pass(1_000);
  server.latency = () => 0;
  ada.retryNow();
  await pass(10);
  expect(phaseOf(ada)).toBe('live');
  await pass(20_000);
  expect(server.sockets.size).toBe(1);
});

test('what is closed hears nothing of its late frames', async () => {
  const ada = clientOf(server, 'ada');
  await live(ada);
  const old = server.opened[0] as FakeSocket;
  const late = old.onmessage;
  const heard: string[] = [];
  old.end(1006);
  await pass(2_000);
  ada.on('frame', ({ type }) => heard.push(type));
  late?.({ data: JSON.stringify({ type: 'message.created', eventId: 'x', cursor: '1@1', data: {} }) });
  expect(heard).toEqual([]);
  old.onclose?.({ code: 4502 });
  expect(phaseOf(ada)).toBe('live');
  server.cut('ada');
  await pass(2_000);
  expect(new URL((server.opened.at(-1) as FakeSocket).url).searchParams.get('cursor')).not.toBe('1@1');
});

test.each([-7_200_000, 7_200_000])(
  'a clock that is %i ms off neither hides what changed nor reads all',
  async (skew) => {
    server.skewMs = skew;
    const quiet = server.start('cy', 'ada', 'quiet').conversation.id;
    await pass(60_000);
    const { ada, id } = await away();
    server.calls.length = 0;
    await pass(30_000);
    expect(texts(ada, id)).toEqual(['one', 'missed']);
    expect(server.calls.map((each) => each.path)).not.toContain(`/v1/conversations/${quiet}`);
    await pass(600_000);
    const socket = server.opened.at(-1) as FakeSocket;
    expect(socket.said.filter((each) => each.type === 'auth.refresh')).toEqual([]);
    expect(ada.state.getSnapshot().counts.losses).toBe(1);
  },
);
