// What the client does with the page around it.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeChat } from '../support/fake.js';
import { clientOf, clients, live, liveClientOf, loadAll, pass } from '../support/people.js';

let page: EventTarget;

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
  page = new EventTarget();
  vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
  vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page));
  vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }));
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test('what was read is told at once, and outlives the page, when it is hidden', async () => {
  const server = new FakeChat();
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  const kept: (boolean | undefined)[] = [];
  const real = server.fetchAs('ada');
  const ada = clientOf(server, 'ada', {
    fetch: ((url: string, init: RequestInit) => {
      if (url.endsWith('/read')) kept.push(init.keepalive);
      return real(url, init);
    }) as typeof fetch,
  });
  await live(ada);
  void loadAll(ada);
  await pass(10);
  ada.conversation(id).markRead();
  await pass(100);
  expect(kept).toEqual([]);
  Object.assign(document, { visibilityState: 'hidden' });
  document.dispatchEvent(new Event('visibilitychange'));
  await pass(10);
  expect(kept).toEqual([true]);
  await pass(5_000);
  expect(kept).toHaveLength(1);
});

test('a network that goes is a loss at once, and is used at once when it is back', async () => {
  const server = new FakeChat();
  const { id } = server.start('bob', 'ada', 'hello').conversation;
  const ada = clientOf(server, 'ada');
  await live(ada);
  server.fault = () => 'network';
  server.accepting = false;
  page.dispatchEvent(new Event('offline'));
  expect(ada.state.getSnapshot().phase).toBe('reconnecting');
  ada.conversation(id).send('from the tunnel');
  await pass(120_000);
  server.fault = null;
  server.accepting = true;
  page.dispatchEvent(new Event('online'));
  await pass(10);
  expect(ada.state.getSnapshot().phase).toBe('live');
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual(['hello', 'from the tunnel']);
});

test('after disconnect nothing listens to the page and nothing is tried', async () => {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  await live(ada);
  ada.disconnect();
  page.dispatchEvent(new Event('online'));
  await pass(60_000);
  expect(server.opened).toHaveLength(1);
  expect(ada.state.getSnapshot().phase).toBe('idle');
});

test('a person is away when the page is hidden, or nothing on it is touched, for long enough', async () => {
  const server = new FakeChat();
  const ada = liveClientOf(server, 'ada');
  await live(ada);
  const statuses = () =>
    server.opened
      .flatMap((each) => each.said)
      .flatMap(({ type, status }) => (type === 'presence.ping' ? [status] : []));
  await pass(290_000);
  page.dispatchEvent(new Event('keydown'));
  await pass(290_000);
  expect(statuses()).not.toContain('away');
  await pass(11_000);
  expect(statuses().at(-1)).toBe('away');
  page.dispatchEvent(new Event('pointermove'));
  expect(statuses().at(-1)).toBe('online');
  Object.assign(document, { visibilityState: 'hidden' });
  document.dispatchEvent(new Event('visibilitychange'));
  await pass(61_000);
  expect(statuses().at(-1)).toBe('away');
  const count = statuses().length;
  Object.assign(document, { visibilityState: 'visible' });
  document.dispatchEvent(new Event('visibilitychange'));
  expect(statuses().slice(count)).toEqual(['online']);
  ada.disconnect();
  page.dispatchEvent(new Event('keydown'));
  await pass(60_000);
  expect(statuses()).toHaveLength(count + 1);
});
