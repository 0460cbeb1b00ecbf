// What comes back over HTTP, whoever sent it: the service, a proxy, a captive portal, or nobody.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeChat } from '../support/fake.js';
import { clientOf, clients, live, pass, texts } from '../support/people.js';

type Answer = (init: RequestInit) => Response | undefined;

let server: FakeChat;
let id: string;

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
  server = new FakeChat();
  id = server.start('bob', 'ada', 'hello').conversation.id;
  server.answer('ada', id, 'accept');
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.useRealTimers();
});

/** A client of ada's whose requests to `path` get `answer` while that gives one. */
async function behind(path: string, answer: Answer) {
  const calls: number[] = [];
  const real = server.fetchAs('ada');
  const ada = clientOf(server, 'ada', {
    fetch: (async (url: string, init: RequestInit) => {
      if (!url.endsWith(path)) return real(url, init);
      calls.push(Date.now());
      return answer(init) ?? real(url, init);
    }) as typeof fetch,
  });
  await live(ada);
  return { ada, calls };
}

const statuses = (ada: ReturnType<typeof clientOf>) =>
  ada
    .conversation(id)
    .getSnapshot()
    .messages.map((each) => each.status);

test("a captive portal's page in place of an answer is no answer: the message is sent again", async () => {
  let pages = 2;
  const { ada } = await behind('/messages', () =>
    pages-- > 0
      ? new Response('<html>Please sign in</html>', { headers: { 'Content-Type': 'text/html' } })
      : undefined,
  );
  ada.conversation(id).send('one');
  await pass(100);
  expect(statuses(ada)).toEqual(['queued']);
  await pass(20_000);
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual(['hello', 'one']);
});

test('an answer that begins and never ends is given up and asked for again', async () => {
  let stalls = 1;
  const { ada, calls } = await behind('/messages', ({ signal }) => {
    if (stalls-- <= 0) return undefined;
    const body = new ReadableStream({
      start: (stream) => signal?.addEventListener('abort', () => stream.error(new Error('aborted'))),
    });
    return new Response(body, { status: 201 });
  });
  ada.conversation(id).send('one');
  await pass(40_000);
  expect(calls).toHaveLength(2);
  expect(server.talks.get(id)?.messages.map((each) => each.text)).toEqual(['hello', 'one']);
});

test.each([0, 1_000])(
  'with Retry-After of %i ms attempts still lie further and further apart',
  async (wait) => {
    const { ada, calls } = await behind('/messages', () =>
      Response.json({ status: 503, code: 'unavailable', retryAfterMs: wait }, { status: 503 }),
    );
    ada.conversation(id).send('one');
    await pass(60_000);
    expect(calls.length).toBeGreaterThan(4);
    expect(calls.length).toBeLessThan(12);
  },
);

test('a Retry-After is waited for, however long it is', async () => {
  const month = 30 * 24 * 3600; // more than a timer can count
  const { ada, calls } = await behind('/messages', () =>
    Response.json(
      { status: 429, code: 'rate_limited' },
      { status: 429, headers: { 'Retry-After': String(month) } },
    ),
  );
  ada.conversation(id).send('one');
  await pass(3_600_000);
  expect(calls).toHaveLength(1);
});

test('what the application waits for itself is told at once when it would have to wait long', async () => {
  const { ada, calls } = await behind(`/${id}`, ({ method }) =>
    method === 'PATCH'
      ? Response.json({ status: 429, code: 'rate_limited', retryAfterMs: 60_000 }, { status: 429 })
      : undefined,
  );
  let problem = '';
  ada
    .conversation(id)
    .setMuted(true)
    .catch((error) => {
      problem = error.code;
    });
  await pass(100);
  expect([problem, calls.length]).toEqual(['rate_limited', 1]);
});

test('a token that never comes is asked for again', async () => {
  let asked = 0;
  const ada = clientOf(server, 'ada', {
    getToken: () => {
      asked += 1;
      return asked === 1 ? new Promise(() => undefined) : Promise.resolve('token');
    },
  });
  ada.connect();
  await pass(30_000);
  expect(ada.state.getSnapshot().phase).toBe('live');
});

test('a read mark that could not be told is told later on the same connection', async () => {
  let refusals = 3;
  const { ada } = await behind('/read', () =>
    refusals-- > 0 ? Response.json({ status: 503, code: 'unavailable' }, { status: 503 }) : undefined,
  );
  void ada.conversation(id).load();
  await pass(10);
  ada.conversation(id).markRead();
  await pass(60_000);
  expect(server.unread('ada').messages).toBe(0);
  expect(ada.state.getSnapshot().counts.connects).toBe(1);
  expect(texts(ada, id)).toEqual(['hello']);
});
