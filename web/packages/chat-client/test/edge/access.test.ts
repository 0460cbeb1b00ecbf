// Sessions that are revoked, and people who are banned.

import { afterEach, expect, test } from 'vitest';
import { control, open, soon, talking, until } from './people.js';

afterEach(() => {
  for (const client of open.splice(0)) client.disconnect();
});

test('a revoked session asks for a sign-in; after that what was left unsent goes out', async () => {
  const [rita, , hers, his] = await talking();
  let told = 0;
  rita.client.on('authRequired', () => {
    told += 1;
  });
  const state = () => rita.client.state.getSnapshot();
  await control('revoke', rita.userId);
  await expect.poll(() => state().phase, soon).toBe('authRequired');
  expect(state().code).toBe(4501);
  hers.send('later');
  rita.client.connect(); // with the token of that session
  await expect.poll(() => told, soon).toBe(2);
  expect(state()).toMatchObject({ phase: 'authRequired', code: 4501 });
  // A token of the same second counts as one of before.
  await until(
    () => {
      if (state().phase === 'authRequired') {
        rita.signIn();
        rita.client.connect();
      }
      return state().phase === 'live';
    },
    { every: 500 },
  );
  await until(() => his.getSnapshot().messages.some((each) => each.text === 'later'));
});

test('who is banned is told so and let in by nothing, until the ban is lifted', async () => {
  const [rita, carl, , his] = await talking();
  const state = () => carl.client.state.getSnapshot();
  await control('ban', carl.userId);
  await expect.poll(() => state().phase, soon).toBe('banned');
  expect(state().code).toBe(4502);
  carl.client.connect();
  await expect.poll(() => state().phase, soon).toBe('banned');
  const refused = carl.client.start({ recipientId: rita.userId, text: 'and now?' });
  await expect(refused).rejects.toMatchObject({ name: 'ChatProblem', code: 'account_banned' });
  await control('unban', carl.userId);
  await until(
    () => {
      if (state().phase === 'banned') carl.client.connect();
      return state().phase === 'live';
    },
    { every: 500 },
  );
  const key = his.send('back');
  await until(() => his.getSnapshot().messages.some((each) => each.key === key && each.status === 'sent'));
});
