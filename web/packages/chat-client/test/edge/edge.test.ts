import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { afterEach, expect, onTestFailed, test } from 'vitest';
import type { ChatClient, ChatConversation } from '../../src/index.js';
import { control, EDGE, loadAll, open, type Person, person, soon, talking, until, view } from './people.js';

afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

const texts = (talk: ChatConversation) => talk.getSnapshot().messages.map((each) => each.text);

/** What a fresh device shows. */
async function fresh(who: Person, id: string) {
  const client = who.again();
  client.connect();
  await until(() => client.state.getSnapshot().phase === 'live');
  await loadAll(client);
  await client.conversation(id).load();
  const { conversation, messages, hasOlder } = client.conversation(id).getSnapshot();
  const lists = Object.values(client.conversations).map((each) => each.getSnapshot().items);
  const result = { conversation, messages, hasOlder, lists, unread: client.unread.getSnapshot() };
  client.disconnect();
  return result;
}

function shown(client: ChatClient, id: string) {
  const { conversation, messages, hasOlder } = client.conversation(id).getSnapshot();
  const lists = Object.values(client.conversations).map((each) => each.getSnapshot().items);
  // What failed on this device another one cannot know.
  const known = messages.filter((each) => each.status !== 'failed');
  return { conversation, messages: known, hasOlder, lists, unread: client.unread.getSnapshot() };
}

/** Waits until both show the same. What this device has yet to tell, a fresh one cannot show: it is opened anew. */
async function equalsFresh(who: Person, id: string): Promise<void> {
  let both: unknown[] = [];
  const agree = async () => {
    const expected = await fresh(who, id);
    both = JSON.parse(JSON.stringify([shown(who.client, id), expected]));
    return isDeepStrictEqual(both[0], both[1]);
  };
  await until(agree, { every: 300 }).catch(() => expect(both[0]).toEqual(both[1]));
}

test('the edge offers every route and frame that the client uses', async () => {
  const openapi = (await (await fetch(`${EDGE}/openapi.json`)).json()) as { paths: Record<string, object> };
  const has = (path: string) => Object.keys(openapi.paths[path] ?? {});
  const routes: Record<string, string[]> = {
    '/v1/me': ['get'],
    '/v1/conversations': ['get', 'post'],
    '/v1/conversations/{id}': ['get', 'patch'],
    '/v1/conversations/{id}/accept': ['post'],
    '/v1/conversations/{id}/decline': ['post'],
    '/v1/conversations/{id}/withdraw': ['post'],
    '/v1/conversations/{id}/messages': ['get', 'post'],
    '/v1/conversations/{id}/messages/{messageId}': ['patch', 'delete'],
    '/v1/conversations/{id}/changes': ['get'],
    '/v1/conversations/{id}/read': ['put'],
    '/v1/watch-list': ['get'],
    '/v1/blocks/{userId}': ['put', 'delete'],
    '/v1/presence': ['get'],
  };
  for (const [path, methods] of Object.entries(routes))
    expect(has(path)).toEqual(expect.arrayContaining(methods));
  const asyncapi = await (await fetch(`${EDGE}/asyncapi.json`)).text();
  for (const type of [
    'message.updated',
    'conversation.updated',
    'read.receipt',
    'block.created',
    'auth.refresh',
    'conversation.open',
    'conversation.close',
    'presence.ping',
    'presence.updated',
    'typing.started',
    'typing.stopped',
  ]) {
    expect(asyncapi).toContain(`"${type}"`);
  }
});

test('a request is answered, and both sides write and read', async () => {
  const [rita, carl, hers, his] = await talking();
  expect(carl.client.conversations.inbox.getSnapshot().items.map((each) => each.id)).toEqual([his.id]);
  const key = hers.send('how are you?');
  await until(() => texts(his).includes('how are you?'));
  await expect.poll(() => view(his)?.unreadCount, soon).toBe(2);
  const unread = { messages: 2, conversations: 1, requests: 0 };
  await expect.poll(() => carl.client.unread.getSnapshot(), soon).toEqual(unread);
  his.markRead();
  expect(view(his)?.unreadCount).toBe(0);
  await until(() => hers.getSnapshot().messages.some((each) => each.key === key && each.status === 'read'));
  his.send('fine');
  await until(() => texts(hers).includes('fine'));
  await until(() => rita.client.unread.getSnapshot().messages === 1);
  await equalsFresh(rita, hers.id);
  await equalsFresh(carl, hers.id);
});

test('edits, redactions, mute, archive, decline and blocks leave what a fresh device shows', async () => {
  const [rita, carl, hers, his] = await talking();
  for (const text of ['one', 'two', 'three']) hers.send(text);
  await until(() => texts(his).length === 4);
  // The other side may have a message before its sender has the answer.
  await until(() => hers.getSnapshot().messages.every((each) => each.id !== null));
  const stored = hers.getSnapshot().messages;
  await hers.edit(stored[1]?.id as string, 'ONE https://example.com/');
  await hers.redact(stored[2]?.id as string);
  await until(() => texts(his).join() === 'hello,ONE https://example.com/,,three');
  await his.setMuted(true);
  await his.setArchived(true);
  expect(carl.client.conversations.archived.getSnapshot().items.map((each) => each.id)).toEqual([his.id]);
  hers.send('stays archived, being muted');
  await until(() => texts(his).length === 5);
  await equalsFresh(carl, his.id);
  await his.setMuted(false);
  hers.send('comes back');
  await until(() => carl.client.conversations.inbox.getSnapshot().items.length === 1);
  await carl.client.block(rita.userId);
  const refused = hers.send('undeliverable');
  await until(() => hers.getSnapshot().messages.some((each) => each.status === 'failed'));
  expect(hers.getSnapshot().messages.at(-1)?.problem?.code).toBe('undeliverable');
  await equalsFresh(carl, his.id);
  await carl.client.unblock(rita.userId);
  hers.retry(refused);
  await until(() => texts(his).includes('undeliverable'));
  const stranger = await person('recruiter');
  const asked = await stranger.client.start({ recipientId: carl.userId, text: 'and I?' });
  await until(() => carl.client.unread.getSnapshot().requests === 1);
  await carl.client.conversation(asked.id).decline();
  await until(() => carl.client.unread.getSnapshot().requests === 0);
  await equalsFresh(rita, hers.id);
  await equalsFresh(carl, his.id);
});

test('a token that ends soon is renewed over the open socket', async () => {
  const { client } = await person('recruiter', { tokenSeconds: 20 }); // renewed half-way: a stall of 10 s is no loss
  const acks: string[] = [];
  client.on('frame', ({ type }) => type === 'ack' && acks.push(type));
  await until(() => acks.length >= 2);
  expect(client.state.getSnapshot().counts).toMatchObject({ connects: 1, losses: 0 });
});

test('after the edge was killed everything arrives once and in order, and the stores are the truth', async () => {
  const [rita, carl, hers, his] = await talking();
  hers.open();
  his.keystroke();
  await control('kill');
  await until(() => rita.client.state.getSnapshot().phase === 'reconnecting');
  const keys = ['first', 'second', 'third'].map((text) => hers.send(text));
  expect(
    hers
      .getSnapshot()
      .messages.slice(-3)
      .map((each) => each.key),
  ).toEqual(keys);
  await control('start');
  await until(() => hers.getSnapshot().messages.filter((each) => each.status === 'sent').length >= 4);
  await until(() => texts(his).join() === 'hello,first,second,third');
  // The texts may have come by a read, before the socket is open again.
  const counts = () => carl.client.state.getSnapshot().counts;
  await expect.poll(() => counts().connects, soon).toBeGreaterThanOrEqual(2);
  expect(counts().resumed + counts().resyncs).toBeGreaterThanOrEqual(1);
  await until(
    () => {
      his.keystroke(); // the first may come before the conversation is open again
      return hers.live.getSnapshot().typing.length > 0;
    },
    { every: 200 },
  );
  await equalsFresh(rita, hers.id);
  await equalsFresh(carl, his.id);
});

test('an edge that stops takes nothing with it that was in flight, and nothing is stored twice', async () => {
  const [rita, carl, hers, his] = await talking();
  hers.open();
  his.open();
  await until(() => hers.live.getSnapshot().isOpen && his.live.getSnapshot().isOpen);
  let stopped = false;
  const stopping = control('stop').then(() => {
    stopped = true;
  });
  const expected = ['hello'];
  // In both directions until it is gone, so that something is always under way; and what is read is told.
  for (const talk of [hers, his]) talk.markRead();
  while (!stopped) {
    for (const talk of [hers, his]) {
      const text = `${expected.length}`;
      expected.push(text);
      talk.send(text);
      talk.keystroke();
      talk.markRead();
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stopping;
  expect(expected.length).toBeGreaterThan(10); // a second and more of it
  await control('start');
  for (const talk of [hers, his]) {
    await until(() => texts(talk).length === expected.length);
    await until(() =>
      talk.getSnapshot().messages.every((each) => ['sent', 'read', 'received'].includes(each.status)),
    );
    expect([...texts(talk)].sort()).toEqual([...expected].sort());
    await until(() => talk.live.getSnapshot().isOpen); // asked for again
  }
  for (const from of [0, 1]) {
    // Each person's own are in the order in which they were sent.
    const own = expected.slice(1).filter((_, at) => at % 2 === from);
    expect(texts(his).filter((text) => own.includes(text))).toEqual(own);
  }
  await equalsFresh(rita, hers.id);
  await equalsFresh(carl, his.id);
});

test('after a random walk with drops on both sides, stores are what a fresh device shows', async () => {
  const seed = Number(process.env.FC_SEED ?? 1);
  onTestFailed(() => console.error(`FC_SEED=${seed} walks this way`));
  const [rita, carl, hers, his] = await talking();
  const step = fc.record({
    act: fc.constantFrom(
      ...[
        'send',
        'send',
        'send',
        'send',
        'edit',
        'redact',
        'read',
        'read',
        'mute',
        'archive',
        'block',
        'drop',
      ],
    ),
    by: fc.boolean(),
    on: fc.boolean(),
    wait: fc.constantFrom(0, 5, 30, 300),
    which: fc.nat(4),
  });
  const underway: Promise<unknown>[] = [];
  for (const { act, by, on, wait, which } of fc.sample(step, { seed, numRuns: 80 })) {
    const [who, talk, other] = by ? [rita, hers, carl] : [carl, his, rita];
    const mine = talk.getSnapshot().messages.filter((each) => each.mine && each.id && !each.redactedAt);
    const id = mine.at(-1 - which)?.id;
    const acts: Record<string, () => Promise<unknown> | undefined> = {
      send: () => {
        talk.send(`${act} ${which}`);
        return undefined;
      },
      edit: () => (id ? talk.edit(id, `edited ${which}`) : undefined),
      redact: () => (id ? talk.redact(id) : undefined),
      read: () => {
        talk.markRead();
        return undefined;
      },
      mute: () => talk.setMuted(on),
      archive: () => talk.setArchived(on),
      block: () => (on && which === 0 ? who.client.block(other.userId) : who.client.unblock(other.userId)),
      drop: () => {
        who.drop();
        return undefined;
      },
    };
    const work = acts[act]?.();
    if (work) underway.push(work.catch((error) => expect(error).toMatchObject({ name: 'ChatProblem' })));
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
  await Promise.all(underway);
  const isStill = (talk: ChatConversation) =>
    talk.getSnapshot().messages.every((each) => each.status !== 'queued' && each.status !== 'sending');
  await until(() => isStill(hers) && isStill(his));
  await until(() => [rita, carl].every((each) => each.client.state.getSnapshot().phase === 'live'));
  await equalsFresh(rita, hers.id);
  await equalsFresh(carl, his.id);
});
