// Who is here and who types, at two edges.

import { afterEach, expect, test } from 'vitest';
import { EDGE, OTHER_EDGE, open, soon, talking, until } from './people.js';

afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

/** Hers is at one edge, his at the other, both on screen. */
async function facing({ hers = EDGE, his = OTHER_EDGE } = {}) {
  const [rita, carl, herTalk, hisTalk] = await talking({ hers, his });
  const dot = rita.client.presence(carl.userId);
  dot.subscribe(() => {});
  const leave = herTalk.open();
  hisTalk.open();
  await until(() => herTalk.live.getSnapshot().isOpen && hisTalk.live.getSnapshot().isOpen);
  const status = () => dot.getSnapshot().status;
  await expect.poll(status, soon).toBe('online');
  const typing = () => herTalk.live.getSnapshot().typing;
  /** A frame may come too soon after one before it, and be left out. */
  const typesUntilSeen = () =>
    until(
      () => {
        hisTalk.keystroke();
        return typing().length > 0;
      },
      { every: 200 },
    );
  return { rita, carl, hers: herTalk, his: hisTalk, dot, status, typing, typesUntilSeen, leave };
}

test('who comes, goes and is away is seen by who has the conversation open', async () => {
  const { carl, dot, status } = await facing();
  carl.does('hidden');
  await expect.poll(status, soon).toBe('away');
  carl.does('visible');
  await expect.poll(status, soon).toBe('online');
  const second = carl.again();
  second.connect();
  await until(() => second.state.getSnapshot().phase === 'live');
  carl.client.disconnect();
  const there: string[] = [];
  dot.subscribe(() => there.push(status()));
  second.disconnect();
  await expect.poll(status, soon).toBe('offline');
  expect(there).toEqual(['offline']); // not while the second device was still there
  const { lastSeenAt } = dot.getSnapshot();
  expect(Math.abs(Date.now() - Date.parse(lastSeenAt as string))).toBeLessThan(soon.timeout);
});

test('who types is seen until they stop or send, and not by who has left', async () => {
  const { rita, carl, his, typing, typesUntilSeen, leave } = await facing();
  his.keystroke();
  await expect.poll(typing, soon).toEqual([carl.userId]);
  his.stopTyping();
  await expect.poll(typing, soon).toEqual([]);
  await typesUntilSeen();
  his.send('there');
  await expect.poll(typing, soon).toEqual([]);
  const frames: string[] = [];
  rita.client.on('frame', ({ type, data }) => {
    if (type.startsWith('typing.')) frames.push(type);
    if (type === 'message.created') frames.push((data as { message: { text: string } }).message.text);
  });
  leave();
  await until(() => rita.client.conversation(his.id).live.getSnapshot().isOpen === false);
  his.send('left');
  await until(() => frames.includes('left'));
  frames.length = 0;
  await new Promise((resolve) => setTimeout(resolve, 2_500)); // the next one is said
  his.keystroke();
  his.stopTyping();
  his.send('the end');
  await until(() => frames.includes('the end'));
  expect(frames).toEqual(['the end']);
});

test('who is blocked sees nobody, and sees them again when that is over', async () => {
  const { rita, carl, his, dot, status, typing } = await facing();
  await carl.client.block(rita.userId);
  await expect.poll(status, soon).toBe('offline');
  expect(dot.getSnapshot().lastSeenAt).toBeNull();
  his.keystroke();
  his.send('not delivered');
  await until(() => his.getSnapshot().messages.at(-1)?.status === 'failed');
  expect(typing()).toEqual([]);
  await carl.client.unblock(rita.userId);
  await expect.poll(status, soon).toBe('online');
});

test('a conversation that is not there says so', async () => {
  const { rita } = await facing();
  const nowhere = rita.client.conversation('00000000-0000-7000-8000-000000000000');
  nowhere.open();
  await expect.poll(() => nowhere.live.getSnapshot().error?.code, soon).toBe('not_found');
});

test('what was on screen before a connection was lost is told after it, too', async () => {
  const { rita, hers, status, typing, typesUntilSeen } = await facing();
  rita.drop();
  await until(() => hers.live.getSnapshot().isOpen === false);
  await until(() => hers.live.getSnapshot().isOpen);
  await typesUntilSeen();
  expect(status()).toBe('online');
  rita.drop();
  await expect.poll(typing, soon).toEqual([]);
});
