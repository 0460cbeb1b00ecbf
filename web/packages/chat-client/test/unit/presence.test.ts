// Who is here: what is told, what is asked for, and what lapses.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { LiveClient, LiveClientOptions, Presence } from '../../src/live/index.js';
import { FakeChat, type FakeSocket } from '../support/fake.js';
import { clients, live, liveClientOf, pass } from '../support/people.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

/** Ada, connected, who has an accepted conversation with Bob. */
async function knowing(more: Partial<LiveClientOptions> = {}) {
  const server = new FakeChat();
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  server.answer('ada', id, 'accept');
  const ada = liveClientOf(server, 'ada', more);
  await live(ada);
  server.calls.length = 0;
  return { server, id, ada };
}

const statusOf = (client: LiveClient, userId: string) => client.presence(userId).getSnapshot().status;
const asked = (server: FakeChat) =>
  server.calls.filter((each) => each.path.startsWith('/v1/presence')).map((each) => each.path);
const watch = (client: LiveClient, userId: string) => client.presence(userId).subscribe(() => {});

test('who is watched is asked for together, and shown; who is nobody to one is offline', async () => {
  const { server, ada } = await knowing();
  server.start('cy', 'ada', 'hi');
  server.setPresence('bob', 'online');
  server.setPresence('cy', 'away');
  server.setPresence('dan', 'online');
  const heard: Presence[] = [];
  ada.on('presence', (each) => heard.push(each));
  for (const each of ['bob', 'cy', 'dan']) watch(ada, each);
  expect(statusOf(ada, 'bob')).toBe('offline');
  await pass(60);
  expect(asked(server)).toEqual(['/v1/presence?userIds=bob,cy,dan']);
  expect(['bob', 'cy', 'dan'].map((each) => statusOf(ada, each))).toEqual(['online', 'away', 'offline']);
  expect(heard.map((each) => each.userId)).toEqual(['bob', 'cy']);
  expect(ada.presence('bob')).toBe(ada.presence('bob'));
});

test('who has an id with commas in it is asked for by a parameter of their own', async () => {
  const { server, ada } = await knowing();
  const both = ['uid=cy,ou=people', 'cn=dan,ou=people'];
  for (const each of both) {
    server.start(each, 'ada', 'hi');
    server.setPresence(each, 'online');
  }
  for (const each of ['bob', ...both]) watch(ada, each);
  await pass(60);
  const alone = both.map((each) => `userId=${encodeURIComponent(each)}`).join('&');
  expect(asked(server)).toEqual([`/v1/presence?userIds=bob&${alone}`]);
  expect(both.map((each) => statusOf(ada, each))).toEqual(['online', 'online']);
});

test('where each change is told it holds for as long as the connection does, without being asked for', async () => {
  const { server, id, ada } = await knowing();
  server.setPresence('bob', 'online');
  ada.conversation(id).open();
  watch(ada, 'bob');
  await pass(290_000);
  expect([statusOf(ada, 'bob'), asked(server)]).toEqual(['online', []]);
  server.setPresence('bob', 'away');
  expect(statusOf(ada, 'bob')).toBe('away');
  server.setPresence('bob', 'offline');
  expect(ada.presence('bob').getSnapshot().lastSeenAt).not.toBeNull();
});

test('a change that is told to nobody, as to who is behind, is found out in time', async () => {
  const { server, id, ada } = await knowing();
  server.setPresence('bob', 'online');
  ada.conversation(id).open();
  watch(ada, 'bob');
  await pass(1_000);
  server.tells = false;
  server.setPresence('bob', 'offline');
  await pass(300_000);
  expect([statusOf(ada, 'bob'), asked(server).length]).toEqual(['offline', 1]);
});

test('of others it is asked again every minute while it is watched, and lapses when it cannot be', async () => {
  const { server, ada } = await knowing();
  server.setPresence('bob', 'online');
  const stop = watch(ada, 'bob');
  await pass(60);
  await pass(600_000);
  expect([statusOf(ada, 'bob'), asked(server).length]).toEqual(['online', 11]);
  server.fault = () => 503;
  await pass(96_000);
  expect(statusOf(ada, 'bob')).toBe('offline');
  expect(ada.state.getSnapshot().phase).toBe('live');
  server.fault = null;
  await pass(21_000);
  expect(statusOf(ada, 'bob')).toBe('online');
  stop();
  server.calls.length = 0;
  await pass(600_000);
  expect([statusOf(ada, 'bob'), asked(server)]).toEqual(['offline', []]);
});

test('without a connection it lapses 95 s after it was last known to be so, and is mended with the next', async () => {
  const { server, id, ada } = await knowing();
  server.setPresence('bob', 'online');
  ada.conversation(id).open();
  watch(ada, 'bob');
  await pass(200_000);
  server.accepting = false;
  server.cut('ada');
  await pass(94_000);
  expect(statusOf(ada, 'bob')).toBe('online');
  await pass(1_100);
  expect(statusOf(ada, 'bob')).toBe('offline');
  server.accepting = true;
  ada.retryNow();
  await pass(10);
  expect(statusOf(ada, 'bob')).toBe('online');
});

test('who was seen before a reconnect and may not be any more is found out', async () => {
  const { server, id, ada } = await knowing();
  server.setPresence('bob', 'online');
  ada.conversation(id).open();
  watch(ada, 'bob');
  await pass(1_000);
  server.cut('ada');
  server.hidden.add('bob');
  await pass(65_000);
  expect(ada.presence('bob').getSnapshot()).toEqual({ userId: 'bob', status: 'offline', lastSeenAt: null });
});

test('once a conversation is closed its people are asked for like others', async () => {
  const { server, id, ada } = await knowing();
  server.setPresence('bob', 'online');
  const close = ada.conversation(id).open();
  watch(ada, 'bob');
  await pass(1_000);
  close();
  await pass(10);
  server.setPresence('bob', 'away'); // told to nobody now
  expect(statusOf(ada, 'bob')).toBe('online');
  await pass(60_000);
  expect(statusOf(ada, 'bob')).toBe('away');
});

test('an answer does not undo what was told after it was asked for', async () => {
  const { server, id, ada } = await knowing();
  server.setPresence('bob', 'online');
  watch(ada, 'bob');
  server.latency = () => 1_000;
  await pass(600); // read at the service, not answered yet
  server.latency = () => 0;
  server.setPresence('bob', 'away');
  ada.conversation(id).open();
  await pass(10);
  expect(statusOf(ada, 'bob')).toBe('away');
  await pass(2_000);
  expect(statusOf(ada, 'bob')).toBe('away');
});

test('a hidden page asks for nobody; one that is shown again asks at once', async () => {
  let report: Parameters<NonNullable<LiveClientOptions['watchPage']>>[0] = () => {};
  const { server, ada } = await knowing({
    watchPage: (each) => {
      report = each;
      return () => {};
    },
  });
  server.setPresence('bob', 'online');
  watch(ada, 'bob');
  await pass(60);
  report('hidden');
  await pass(600_000);
  expect([statusOf(ada, 'bob'), asked(server).length]).toEqual(['offline', 1]);
  report('visible');
  await pass(10);
  expect([statusOf(ada, 'bob'), asked(server).length]).toEqual(['online', 2]);
});

test('of what one person saw nothing is left to the next', async () => {
  const { server, ada } = await knowing();
  server.setPresence('bob', 'online');
  watch(ada, 'bob');
  await pass(60);
  expect(statusOf(ada, 'bob')).toBe('online');
  await ada.signOut();
  expect(ada.presence('bob').getSnapshot()).toEqual({ userId: 'bob', status: 'offline', lastSeenAt: null });
});

// What is told of this person

const pings = (server: FakeChat) =>
  (server.opened.at(-1) as FakeSocket).said
    .filter((each) => each.type === 'presence.ping')
    .map((each) => each.status);

test('a person is here while they do something, away when they do not, and back at once', async () => {
  let report: Parameters<NonNullable<LiveClientOptions['watchPage']>>[0] = () => {};
  const { server } = await knowing({
    awayWhenIdleMs: 120_000,
    watchPage: (each) => {
      report = each;
      each('visible');
      return () => {};
    },
  });
  await pass(76_000);
  expect(pings(server)).toEqual(['online', 'online', 'online']);
  report('input');
  await pass(119_000);
  expect(pings(server)).not.toContain('away');
  await pass(1_100);
  expect(pings(server).at(-1)).toBe('away');
  const soFar = pings(server).length;
  await pass(30_000);
  expect(pings(server).slice(soFar)).toEqual(['away']);
  report('input');
  report('input');
  expect(pings(server).slice(soFar)).toEqual(['away', 'online']);
  report('hidden');
  await pass(59_000);
  expect(pings(server).at(-1)).toBe('online');
  await pass(1_100);
  expect(pings(server).at(-1)).toBe('away');
  server.cut('ada');
  await pass(3_000);
  expect(pings(server)).toEqual(['away']); // a new connection would count as being here
  report('visible');
  expect(pings(server)).toEqual(['away', 'online']);
});

test('where nobody can tell, as in a program without a page, who is connected is here', async () => {
  const { server } = await knowing();
  await pass(3_600_000);
  expect(new Set(pings(server))).toEqual(new Set(['online']));
});

test('a connection that has died without a word is noticed by the next ping', async () => {
  const { server, ada } = await knowing();
  (server.opened[0] as FakeSocket).deaf = true;
  await pass(40_000);
  expect(server.opened).toHaveLength(2);
  expect(ada.state.getSnapshot()).toMatchObject({ phase: 'live', counts: { connects: 2, losses: 1 } });
});
