import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeChat, type FakeSocket } from '../support/fake.js';
import { clientOf, clients, live, loadAll, pass } from '../support/people.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

/** What changes what is shown, and what the random walks of truth.test.ts therefore bring about. */
const WALKED = [
  'message.created',
  'message.updated',
  'conversation.requested',
  'conversation.accepted',
  'conversation.declined',
  'conversation.updated',
  'read.receipt',
  'block.created',
  'block.removed',
];
const OF_THE_CONNECTION = ['system.welcome', 'system.caught_up', 'system.goaway', 'ack', 'error'];
/** What is said to the person and changes nothing else. */
const SAID = ['system.notice'];
/** What `LiveClient` makes of these is in screens.test.ts and presence.test.ts. */
const LIVE = ['presence.updated', 'typing.started', 'typing.stopped'];

test('every frame of the contract is one that this client knows', () => {
  const path = fileURLToPath(new URL('../../../../../edge_gateway/asyncapi.yaml', import.meta.url));
  const channel = readFileSync(path, 'utf8').split('\noperations:')[0] ?? '';
  const names = [...channel.matchAll(/^ {6}([a-z_.]+): \{\$ref: '#\/components\/messages\//gm)].map(
    (each) => each[1],
  );
  const told = names.filter((each) => !each?.startsWith('client.'));
  expect(told.sort()).toEqual([...WALKED, ...OF_THE_CONNECTION, ...SAID, ...LIVE].sort());
});

test('an erased message goes from the thread, and its conversation is read again', async () => {
  const server = new FakeChat();
  const { id } = server.start('bob', 'ada', 'one').conversation;
  server.answer('ada', id, 'accept');
  const second = server.send('bob', id, 'two');
  const ada = clientOf(server, 'ada');
  await live(ada);
  void loadAll(ada);
  void ada.conversation(id).load();
  await pass(10);
  const data = { messageId: second.id, seq: 2, changeSeq: 3 };
  (server.opened[0] as FakeSocket).tell({ type: 'message.deleted', eventId: 'x', conversationId: id, data });
  expect(
    ada
      .conversation(id)
      .getSnapshot()
      .messages.map((each) => each.text),
  ).toEqual(['one']);
  server.calls.length = 0;
  await pass(1_000);
  expect(server.calls.map((each) => each.path)).toContain(`/v1/conversations/${id}`);
});

test('frames of a later service, and what is no frame, do no harm', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  await live(ada);
  const socket = server.opened[0] as FakeSocket;
  socket.tell({ type: 'presence.someday', eventId: 'y', data: { what: 'ever' } });
  expect(ada.state.getSnapshot().phase).toBe('live');
  socket.onmessage?.({ data: 'not JSON' });
  expect(ada.state.getSnapshot().phase).toBe('reconnecting');
  await pass(5_000);
  expect(ada.state.getSnapshot().phase).toBe('live');
});

test('a drain is left when the service says', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  await live(ada);
  (server.opened[0] as FakeSocket).tell({
    type: 'system.goaway',
    eventId: 'z',
    data: { reconnectInMs: 7_000 },
  });
  server.cut('ada', 1012);
  await pass(6_900);
  expect(server.opened).toHaveLength(1);
  await pass(200);
  expect(server.opened).toHaveLength(2);
});

test('a notice is told to the page, once, and moves no cursor', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  const heard: unknown[] = [];
  ada.on('notice', (notice) => heard.push(notice));
  await live(ada);
  const data = { noticeId: 'n', code: 'announcement', severity: 'info', text: 'Back at noon.' };
  const socket = server.opened[0] as FakeSocket;
  socket.tell({ type: 'system.notice', eventId: 'e', data });
  socket.tell({ type: 'system.notice', eventId: 'e', data });
  expect(heard).toEqual([data]);
});
