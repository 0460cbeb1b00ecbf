// One conversation's messages, whatever order events and answers come in.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ChatClient, Frame } from '../../src/index.js';
import { FakeChat, type FakeSocket } from '../support/fake.js';
import { clientOf, clients, live, loadAll, pass, texts } from '../support/people.js';

let server: FakeChat;
let ada: ChatClient;
let id: string;

beforeEach(async () => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
  server = new FakeChat();
  id = server.start('bob', 'ada', 'hello').conversation.id;
  server.answer('ada', id, 'accept');
  ada = clientOf(server, 'ada');
  await live(ada);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

const open = async () => {
  void ada.conversation(id).load();
  await pass(10);
};
const socket = () => server.opened.at(-1) as FakeSocket;
const rows = () =>
  ada
    .conversation(id)
    .getSnapshot()
    .messages.map((each) => `${each.text}: ${each.status}`);

test('loading twice at once loses nothing that comes in between', async () => {
  // The first page is read before the message, and answered after the second load has begun.
  const answers = [20, 200, 20, 400];
  server.latency = () => answers.shift() ?? 0;
  void ada.conversation(id).load(); // asks for the conversation, then for its messages
  await pass(125);
  server.send('bob', id, 'in between');
  void ada.conversation(id).load();
  await pass(5_000);
  expect(texts(ada, id)).toEqual(['hello', 'in between']);
});

test('reading up to a message that is not there yet leaves what comes later unread', async () => {
  await open();
  void loadAll(ada);
  await pass(10);
  ada.conversation(id).markRead(500);
  await pass(5_000);
  server.send('bob', id, 'later');
  await pass(10);
  expect(ada.conversation(id).getSnapshot().conversation?.unreadCount).toBe(1);
  expect(ada.unread.getSnapshot().messages).toBe(1);
});

test('a conversation that one was removed from is not brought back by an older answer', async () => {
  void loadAll(ada);
  await open();
  server.latency = () => 200;
  void ada.conversations.inbox.load();
  await pass(150); // answered, and on its way
  const { changeSeq, ...conversation } = server.view(server.talks.get(id) as never, 'ada');
  socket().tell({
    type: 'conversation.updated',
    eventId: 'gone',
    conversationId: id,
    data: { conversation, self: null, unread: { messages: 0, conversations: 0, requests: 0 } },
  } as Frame);
  expect(changeSeq).toBe(1);
  expect(ada.conversations.inbox.getSnapshot().items).toEqual([]);
  server.talks.delete(id);
  await pass(10_000);
  expect(ada.conversations.inbox.getSnapshot().items).toEqual([]);
  expect(ada.conversation(id).getSnapshot()).toMatchObject({ conversation: null, messages: [] });
});

test('after a very long absence the thread stays on screen until its newest page can be read', async () => {
  await open();
  server.flush();
  server.cut('ada');
  for (let n = 0; n < 620; n += 1) server.send('bob', id, `m${n}`);
  let isPageRefused = true;
  server.fault = ({ path }) => (isPageRefused && /\/messages\?limit/.test(path) ? 503 : undefined);
  await pass(20_000);
  expect(texts(ada, id)).toEqual(['hello']);
  isPageRefused = false;
  await pass(60_000);
  expect(texts(ada, id)).toHaveLength(50);
  expect(texts(ada, id).at(-1)).toBe('m619');
});

test('an older page that comes after such an absence makes no gap', async () => {
  for (let n = 0; n < 120; n += 1) server.send('bob', id, `old ${n}`);
  await open();
  server.latency = () => 8_000;
  void ada.conversation(id).loadOlder();
  await pass(10);
  server.latency = () => 0;
  server.flush();
  server.cut('ada');
  for (let n = 0; n < 620; n += 1) server.send('bob', id, `m${n}`);
  await pass(60_000);
  const seqs = ada
    .conversation(id)
    .getSnapshot()
    .messages.map((each) => each.seq as number);
  expect(seqs.at(-1)).toBe(741);
  expect(seqs).toEqual(seqs.map((_, n) => (seqs[0] as number) + n));
});

test('what was sent in a conversation that is not open loses its text when it is redacted', async () => {
  const key = ada.conversation(id).send('secret');
  await pass(100);
  expect(rows()).toEqual(['secret: sent']);
  const sent = server.talks.get(id)?.messages.find((each) => each.clientMessageId === key);
  server.redact('ada', id, sent?.id as string);
  await pass(100);
  expect(JSON.stringify(ada.conversation(id).getSnapshot())).not.toContain('secret');
});

test('what was sent before it was opened stands in its place, once', async () => {
  ada.conversation(id).send('mine');
  await pass(100);
  for (let n = 0; n < 60; n += 1) server.send('bob', id, `m${n}`);
  await open();
  expect(texts(ada, id)).toHaveLength(50);
  expect(texts(ada, id)).not.toContain('mine');
  void ada.conversation(id).loadOlder();
  await pass(100);
  expect(texts(ada, id).slice(0, 3)).toEqual(['hello', 'mine', 'm0']);
  expect(texts(ada, id).filter((each) => each === 'mine')).toHaveLength(1);
});

test('a redaction takes the text from thread, list and preview', async () => {
  void loadAll(ada);
  await open();
  const { id: messageId } = server.send('bob', id, 'secret');
  await pass(10);
  expect(texts(ada, id)).toEqual(['hello', 'secret']);
  server.redact('bob', id, messageId);
  await pass(10);
  const held = [ada.conversation(id).getSnapshot(), ada.conversations.inbox.getSnapshot()];
  expect(JSON.stringify(held)).not.toContain('secret');
  expect(ada.unread.getSnapshot().messages).toBe(1);
});

test.each(['event first', 'answer first'])('one bubble from send to sent, %s', async (order) => {
  await open();
  if (order === 'event first') server.latency = () => 200;
  else server.delivery = () => 'late';
  const keys = new Set<string>();
  const counts = new Set<number>();
  const told: string[] = [];
  ada.on('message', ({ message }) => told.push(message.text));
  ada.conversation(id).subscribe(() => {
    const mine = ada
      .conversation(id)
      .getSnapshot()
      .messages.filter((each) => each.mine);
    counts.add(mine.length);
    for (const each of mine) keys.add(each.key);
  });
  const key = ada.conversation(id).send('mine');
  await pass(150);
  expect(rows().at(-1)).toBe('mine: sent');
  await pass(1_000);
  server.flushLate();
  await pass(1_000);
  expect(rows()).toEqual(['hello: received', 'mine: sent']);
  expect([[...keys], [...counts]]).toEqual([[key], [1]]);
  expect(told).toEqual(['mine']);
});

test('what is sent while something before it failed stands before that', async () => {
  await open();
  server.delivery = () => 'late';
  server.fault = ({ body }) => (body.text === 'refused' ? 403 : undefined);
  ada.conversation(id).send('refused');
  ada.conversation(id).send('sent');
  await pass(100);
  expect(rows()).toEqual(['hello: received', 'sent: sent', 'refused: failed']);
  server.flushLate();
  await pass(1_000);
  expect(rows()).toEqual(['hello: received', 'sent: sent', 'refused: failed']);
});

test('what is written while a request waits fails with that reason, and can be sent once it is accepted', async () => {
  const asked = server.start('ada', 'cy', 'may I?').conversation.id;
  const talk = ada.conversation(asked);
  void talk.load();
  await pass(10);
  const keys = ['one', 'two'].map((text) => talk.send(text));
  await pass(100);
  const waiting = talk.getSnapshot().messages.slice(1);
  expect(waiting.map((each) => each.problem?.code)).toEqual(['request_pending', 'request_pending']);
  server.answer('cy', asked, 'accept');
  for (const key of keys) talk.retry(key);
  await pass(100);
  expect(texts(ada, asked)).toEqual(['may I?', 'one', 'two']);
  expect(server.talks.get(asked)?.messages).toHaveLength(3);
});

test('a listener that another one stops is not called any more', async () => {
  await open();
  const talk = ada.conversation(id);
  let calls = 0;
  talk.subscribe(() => stop());
  const stop = talk.subscribe(() => {
    calls += 1;
  });
  server.send('bob', id, 'x');
  await pass(10);
  expect(calls).toBe(0);
});
