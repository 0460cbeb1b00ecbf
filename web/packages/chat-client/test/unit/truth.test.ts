// I9: snapshot + events = a fresh snapshot, whatever happens on the way.

import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeChat } from '../support/fake.js';
import { clientOf, clients, live, loadAll, pass, settle, shownBy } from '../support/people.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-01-05T08:00:00Z') });
  vi.spyOn(Math, 'random').mockReturnValue(0.5); // delays, too, are the same in each run
});
afterEach(() => {
  for (const client of clients.splice(0)) client.disconnect();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const OTHERS = ['bob', 'cy', 'dee'];

type Step = { act: string; who: number; which: number; to: number };

const ACTS = [
  'send',
  'send',
  'send',
  'otherSends',
  'otherSends',
  'otherSends',
  'edit',
  'otherEdits',
  'otherRedacts',
  'redact',
  'markRead',
  'readElsewhere',
  'otherReads',
  'mute',
  'unmute',
  'archive',
  'unarchive',
  'muteElsewhere',
  'archiveElsewhere',
  'otherAsks',
  'ask',
  'accept',
  'decline',
  'withdrawn',
  'block',
  'unblock',
  'blockElsewhere',
  'load',
  'load',
  'loadOlder',
  'pass',
  'pass',
  'late',
  'retry',
  'discard',
] as const;
const FAULTS = ['cut', 'cut', 'flush', 'lose', 'double', 'hold', 'well', 'slow', 'refuse'] as const;

async function walk(steps: Step[], finalWelcome: boolean): Promise<void> {
  const server = new FakeChat();
  const ada = clientOf(server, 'ada');
  for (const other of OTHERS) server.user(other);
  const first = server.start('bob', 'ada', 'hello').conversation.id;
  server.answer('ada', first, 'accept');
  for (let n = 0; n < 60; n += 1) server.send(n % 3 ? 'bob' : 'ada', first, `old ${n}`);
  server.start('cy', 'ada', 'request');
  await live(ada);
  void loadAll(ada);
  await pass(50);
  void ada.conversation(first).load();
  await pass(50);
  for (const step of steps) {
    act(server, ada, step);
    await pass([0, 3, 40, 400, 3_000][step.to % 5] as number);
  }
  server.delivery = () => 'now';
  server.latency = () => 0;
  server.accepting = true;
  server.fault = null;
  server.flushLate();
  await pass(25_000);
  if (finalWelcome) {
    server.cut('ada');
    await pass(25_000);
  }
  await settle();
  expect(ada.state.getSnapshot().phase).toBe('live');
  const ids = [...server.talks.keys()];
  const fresh = clientOf(server, 'ada');
  await live(fresh);
  void loadAll(fresh);
  await settle();
  for (const id of ids) {
    for (let n = 0; n < 5; n += 1) {
      for (const each of [ada, fresh]) void each.conversation(id).loadOlder();
      await pass(10);
    }
  }
  const expected = await shownBy(fresh, ids);
  for (const id of ids) {
    for (let n = 0; n < 5; n += 1) {
      for (const each of [ada, fresh]) void each.conversation(id).loadOlder();
      await pass(10);
    }
  }
  const held = await shownBy(ada, ids);
  // What failed on this device, another one cannot know.
  for (const each of Object.values(held.threads as Record<string, { messages: { status: string }[] }>)) {
    each.messages = each.messages.filter((one) => one.status !== 'failed');
  }
  for (const id of ids) void fresh.conversation(id).loadOlder();
  expect(held).toEqual(await shownBy(fresh, ids));
  expect(expected.unread).toEqual(server.unread('ada'));
}

function act(server: FakeChat, ada: ReturnType<typeof clientOf>, { act: what, who, which, to }: Step): void {
  const talks = [...server.talks.values()];
  const talk = talks[which % talks.length] as (typeof talks)[number];
  const { id } = talk;
  const handle = ada.conversation(id);
  const other = talk.members.map((each) => each.user.id).find((each) => each !== 'ada') as string;
  const one = OTHERS[who % OTHERS.length] as string;
  const byOther = talk.messages.filter((each) => each.senderId === other).at(-1 - (to % 3));
  const mine = talk.messages.filter((each) => each.senderId === 'ada').at(-1 - (to % 2));
  const failed = handle.getSnapshot().messages.find((each) => each.status === 'failed');
  const quiet = (work: Promise<unknown> | undefined) => void work?.catch(() => undefined);
  const attempt = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      if (!/request_|undeliverable|not_found/.test((error as Error).message)) throw error;
    }
  };
  const acts: Record<string, () => unknown> = {
    send: () => handle.send(`from ada ${to}`),
    otherSends: () => server.send(other, id, `from ${other} ${to}`),
    edit: () => mine && quiet(handle.edit(mine.id, `edited ${to}`)),
    redact: () => mine && quiet(handle.redact(mine.id)),
    otherEdits: () => byOther && server.edit(other, id, byOther.id, `edited ${to}`),
    otherRedacts: () => byOther && server.redact(other, id, byOther.id),
    markRead: () => handle.markRead(to % 2 ? undefined : Math.max(0, talk.messages.length - (to % 4))),
    readElsewhere: () => server.read('ada', id, talk.messages.length - (to % 3)),
    otherReads: () => server.read(other, id, talk.messages.length),
    mute: () => quiet(handle.setMuted(true)),
    unmute: () => quiet(handle.setMuted(false)),
    archive: () => quiet(handle.setArchived(true)),
    unarchive: () => quiet(handle.setArchived(false)),
    muteElsewhere: () => server.setFlags('ada', id, { muted: to % 2 === 0 }),
    archiveElsewhere: () => server.setFlags('ada', id, { archived: to % 2 === 0 }),
    otherAsks: () => server.start(one, 'ada', `asks ${to}`),
    ask: () => quiet(ada.start({ recipientId: one, text: `ada asks ${to}` })),
    accept: () => quiet(handle.accept()),
    decline: () => quiet(handle.decline()),
    withdrawn: () => server.answer(talk.initiatorId, id, 'withdraw'),
    block: () => quiet(ada.block(other)),
    unblock: () => quiet(ada.unblock(other)),
    blockElsewhere: () => server.block('ada', other, to % 2 === 0),
    load: () => quiet(handle.load()),
    loadOlder: () => quiet(handle.loadOlder()),
    pass: () => undefined,
    late: () => server.flushLate(),
    retry: () => failed && handle.retry(failed.key),
    discard: () => failed && handle.discard(failed.key),
    cut: () => server.cut('ada'),
    flush: () => {
      server.flush();
      server.cut('ada');
    },
    lose: () => {
      server.delivery = () => 'lost';
    },
    double: () => {
      server.delivery = () => 'twice';
    },
    hold: () => {
      let n = to;
      server.delivery = () => (n++ % 3 ? 'late' : 'now');
    },
    slow: () => {
      let n = to;
      server.latency = () => [20, 300, 5, 80][n++ % 4] as number;
    },
    refuse: () => {
      let n = to;
      server.fault = () => (n++ % 4 === 0 ? (n % 3 ? 503 : 'network') : undefined);
    },
    well: () => {
      server.delivery = () => 'now';
      server.latency = () => 0;
      server.fault = null;
    },
  };
  attempt(acts[what] as () => unknown);
}

const steps = (acts: readonly string[]) =>
  fc.array(
    fc.record({
      act: fc.constantFrom(...acts),
      who: fc.nat(5),
      which: fc.nat(7),
      to: fc.nat(20),
    }),
    { minLength: 10, maxLength: 90, size: 'max' },
  );

/** `FC_SEED` walks another way than usual; `FC_RUNS` walks longer. A failure is told as found: shrinking takes minutes. */
const runs = (usual: number) => {
  const { FC_SEED: seed = 1, FC_RUNS: wanted = usual } = process.env;
  return { numRuns: Number(wanted), endOnFailure: true, seed: Number(seed) };
};

test('a store that heard every event equals a fresh load', async () => {
  // Late, twice and around slow answers, but all of them: no welcome has to help.
  const calm = steps([...ACTS, ...ACTS, 'double', 'hold', 'hold', 'slow', 'slow', 'late', 'late']);
  await fc.assert(
    fc.asyncProperty(calm, (walked) => walk(walked, false)),
    runs(30),
  );
}, 300_000);

test('a store that lost, doubled and mixed up events equals a fresh load after the next welcome', async () => {
  const rough = steps([...ACTS, ...FAULTS, ...FAULTS]);
  await fc.assert(
    fc.asyncProperty(rough, (walked) => walk(walked, true)),
    runs(30),
  );
}, 300_000);
