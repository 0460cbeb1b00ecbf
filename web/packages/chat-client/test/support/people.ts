import { vi } from 'vitest';
import { ChatClient, type ChatClientOptions, NoStorage } from '../../src/index.js';
import { LiveClient, type LiveClientOptions } from '../../src/live/index.js';
import type { FakeChat } from './fake.js';

export const clients: ChatClient[] = [];

function optionsOf(server: FakeChat, userId: string): ChatClientOptions {
  server.user(userId);
  return {
    baseUrl: 'http://chat.test',
    getToken: async () => `token-of-${userId}`,
    fetch: server.fetchAs(userId),
    openSocket: server.openAs(userId),
    storage: new NoStorage(),
    random: () => 0.5,
  };
}

/** A client of somebody of the fake service. */
export function clientOf(
  server: FakeChat,
  userId: string,
  more: Partial<ChatClientOptions> = {},
): ChatClient {
  const client = new ChatClient({ ...optionsOf(server, userId), ...more });
  clients.push(client);
  return client;
}

/** The same with who is here and who types. */
export function liveClientOf(
  server: FakeChat,
  userId: string,
  more: Partial<LiveClientOptions> = {},
): LiveClient {
  const client = new LiveClient({ ...optionsOf(server, userId), ...more });
  clients.push(client);
  return client;
}

/** A client on a browser where one person after the other signs in: whoever `who` says at the moment. */
export function sharedClient(
  server: FakeChat,
  who: () => string,
  more: Partial<ChatClientOptions> = {},
): ChatClient {
  return clientOf(server, who(), {
    getToken: async () => `token-of-${who()}`,
    fetch: ((...a: Parameters<typeof fetch>) => server.fetchAs(who())(...a)) as typeof fetch,
    openSocket: (url, protocols) => server.openAs(who())(url, protocols),
    ...more,
  });
}

export const texts = (client: ChatClient, id: string): string[] =>
  client
    .conversation(id)
    .getSnapshot()
    .messages.map((each) => each.text);

export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** Everything that waits for a while has been done. */
export const settle = (): Promise<unknown> => pass(30_000);

export async function live(client: ChatClient): Promise<void> {
  client.connect();
  await pass(10);
  if (client.state.getSnapshot().phase !== 'live') throw new Error(client.state.getSnapshot().phase);
}

export async function loadAll(client: ChatClient): Promise<void> {
  await Promise.all(Object.values(client.conversations).map((each) => each.load()));
}

/** What an application would show of everything. */
export async function shownBy(client: ChatClient, ids: string[]): Promise<Record<string, unknown>> {
  const threads: Record<string, unknown> = {};
  for (const id of ids) {
    const handle = client.conversation(id);
    if (!handle.getSnapshot().loaded) {
      handle.load().catch(() => undefined);
      await pass(100);
    }
    const { conversation, messages, hasOlder } = handle.getSnapshot();
    threads[id] = { conversation, messages, hasOlder };
  }
  const lists = Object.entries(client.conversations).map(([name, folder]) => {
    const { items, hasMore, unreadMessages } = folder.getSnapshot();
    return [name, { items, hasMore, unreadMessages }];
  });
  return { threads, lists, unread: client.unread.getSnapshot() };
}
