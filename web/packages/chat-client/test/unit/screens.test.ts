// Conversations on screen, and who types in them.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { LiveClient } from '../../src/live/index.js';
import { FakeChat } from '../support/fake.js';
import { clients, live, liveClientOf, pass } from '../support/people.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

/** Ada and Bob in an accepted conversation, both connected. */
async function talking() {
  const server = new FakeChat();
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  server.answer('ada', id, 'accept');
  const [ada, bob] = [liveClientOf(server, 'ada'), liveClientOf(server, 'bob')];
  await live(ada);
  await live(bob);
  return { server, id, ada, bob };
}

const said = (server: FakeChat, userId: string, type = '') =>
  server.opened
    .filter((each) => each.userId === userId)
    .flatMap((each) => each.said)
    .filter((each) => each.type !== 'presence.ping' && each.type.startsWith(type))
    .map((each) => each.type);

const typing = (client: LiveClient, id: string) => client.conversation(id).live.getSnapshot().typing;

test('a conversation is opened while somebody shows it, however many do', async () => {
  const { server, id, ada } = await talking();
  const talk = ada.conversation(id);
  expect(talk.live.getSnapshot()).toEqual({ typing: [], isOpen: false, error: null });
  const [one, two] = [talk.open(), talk.open()];
  await pass(10);
  expect(talk.live.getSnapshot().isOpen).toBe(true);
  one();
  one();
  await pass(10);
  expect(talk.live.getSnapshot().isOpen).toBe(true);
  two();
  await pass(10);
  expect(talk.live.getSnapshot()).toEqual({ typing: [], isOpen: false, error: null });
  expect(said(server, 'ada')).toEqual(['conversation.open', 'conversation.close']);
});

test('what is on screen is opened again after each reconnect, and only once it is connected', async () => {
  const { server, id, ada } = await talking();
  const close = ada.conversation(id).open();
  await pass(10);
  server.cut('ada');
  expect(ada.conversation(id).live.getSnapshot().isOpen).toBe(false);
  const other = ada.conversation(id).open();
  await pass(5_000);
  expect(ada.conversation(id).live.getSnapshot().isOpen).toBe(true);
  expect(said(server, 'ada')).toEqual(['conversation.open', 'conversation.open']);
  server.cut('ada');
  close();
  other();
  await pass(5_000);
  expect(ada.state.getSnapshot().phase).toBe('live');
  expect(said(server, 'ada')).toHaveLength(2);
});

test('why it cannot be opened is shown; what is worth it is tried again', async () => {
  const { server, id, ada } = await talking();
  ada.conversation('nowhere').open();
  await pass(60_000);
  expect(ada.conversation('nowhere').live.getSnapshot()).toMatchObject({
    isOpen: false,
    error: { name: 'ChatProblem', code: 'not_found' },
  });
  expect(said(server, 'ada')).toHaveLength(1);
  server.refusal = () => ({ code: 'rate_limited', status: 429 });
  ada.conversation(id).open();
  await pass(10);
  expect(ada.conversation(id).live.getSnapshot().error?.code).toBe('rate_limited');
  server.refusal = null;
  await pass(5_000);
  expect(ada.conversation(id).live.getSnapshot()).toMatchObject({ isOpen: true, error: null });
});

test('an answer that comes after it was closed opens nothing', async () => {
  const { id, ada } = await talking();
  ada.conversation(id).open()();
  await pass(10);
  expect(ada.conversation(id).live.getSnapshot().isOpen).toBe(false);
  const close = ada.conversation(id).open();
  close();
  ada.conversation(id).open();
  await pass(10);
  expect(ada.conversation(id).live.getSnapshot().isOpen).toBe(true);
});

test('who types is shown to who has it open, until they stop, send, or say nothing for long enough', async () => {
  const { server, id, ada, bob } = await talking();
  const heard: unknown[] = [];
  ada.on('typing', (each) => heard.push(each));
  bob.conversation(id).keystroke();
  await pass(10);
  expect(typing(ada, id)).toEqual([]);
  ada.conversation(id).open();
  await pass(3_000); // an earlier one is over by then, and not told
  bob.conversation(id).keystroke();
  await pass(10);
  expect(typing(ada, id)).toEqual(['bob']);
  expect(typing(bob, id)).toEqual([]);
  bob.conversation(id).stopTyping();
  await pass(10);
  expect(typing(ada, id)).toEqual([]);
  await pass(3_000);
  bob.conversation(id).keystroke();
  await pass(10);
  bob.conversation(id).send('there');
  await pass(10);
  expect(typing(ada, id)).toEqual([]);
  await pass(3_000);
  bob.conversation(id).keystroke();
  await pass(10);
  expect(typing(ada, id)).toEqual(['bob']);
  server.cut('bob'); // and nobody says that they stopped
  await pass(6_900);
  expect(typing(ada, id)).toEqual(['bob']);
  await pass(200);
  expect(typing(ada, id)).toEqual([]);
  const about = { conversationId: id, userId: 'bob' };
  expect(heard).toEqual([true, false, true, false, true, false].map((each) => ({ ...about, typing: each })));
});

test('a message of somebody ends their typing, also when nothing says so', async () => {
  const { server, id, ada, bob } = await talking();
  ada.conversation(id).open();
  bob.conversation(id).keystroke();
  await pass(10);
  expect(typing(ada, id)).toEqual(['bob']);
  server.send('bob', id, 'from another device');
  expect(typing(ada, id)).toEqual([]);
});

test('typing is said at most every 2.5 s, and that it ended after 3 s without a keystroke', async () => {
  const { server, id, bob } = await talking();
  for (let ms = 0; ms < 10_000; ms += 100) {
    bob.conversation(id).keystroke();
    await pass(100);
  }
  expect(said(server, 'bob')).toEqual(Array(4).fill('typing.started'));
  await pass(2_800);
  expect(said(server, 'bob', 'typing.stopped')).toEqual([]);
  await pass(200);
  expect(said(server, 'bob', 'typing.stopped')).toHaveLength(1);
  bob.conversation(id).stopTyping();
  await pass(60_000);
  expect(said(server, 'bob')).toHaveLength(5);
});

test('without a connection nothing is said, and the first keystroke after it is back is', async () => {
  const { server, id, bob } = await talking();
  bob.conversation(id).keystroke();
  await pass(10);
  server.cut('bob');
  bob.conversation(id).keystroke();
  bob.conversation(id).stopTyping();
  await pass(2_000); // sooner than it is said twice over one
  expect(said(server, 'bob')).toEqual(['typing.started']);
  bob.conversation(id).keystroke();
  expect(said(server, 'bob')).toEqual(['typing.started', 'typing.started']);
});

test('a snapshot is the same object until something changes', async () => {
  const { id, ada, bob } = await talking();
  const talk = ada.conversation(id);
  talk.open();
  bob.conversation(id).keystroke();
  await pass(10);
  let told = 0;
  talk.live.subscribe(() => {
    told += 1;
  });
  const before = talk.live.getSnapshot();
  await pass(2_600);
  bob.conversation(id).keystroke();
  await pass(10);
  expect(talk.live.getSnapshot()).toBe(before);
  expect(told).toBe(0);
  expect(ada.conversation(id)).toBe(talk);
});
