import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import { type ChatClient, type ChatConversation, NoStorage, type SocketLike } from '../../src/index.js';
import {
  type Doing,
  LiveClient,
  type LiveClientOptions,
  type LiveConversation,
} from '../../src/live/index.js';

function given(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is missing: tests/e2e/test_web_client.py runs these tests.`);
  return value;
}

export const EDGE = given('EDGE_URL');
/** Another edge of the same service; the same one where there is none. */
export const OTHER_EDGE = process.env.OTHER_EDGE_URL ?? EDGE;
const ISSUER = given('ISSUER_URL');
/** What is done to the service: POST /kill, /stop, /start (the edge), /revoke, /ban, /unban (`?userId=`). */
const CONTROL = given('CONTROL_URL');

export const open: LiveClient[] = [];

export interface Person {
  userId: string;
  client: LiveClient;
  /** Breaks the client's connections without a word. */
  drop(): void;
  /** Does something with the page of each device. */
  does(what: Doing): void;
  /** Signs in again: the next token is a new one. */
  signIn(): void;
  /** Another device, or the same one after a reload. */
  again(): LiveClient;
}

interface Circumstances {
  tokenSeconds?: number;
  edge?: string;
}

export async function person(
  role: 'recruiter' | 'candidate',
  { tokenSeconds = 3600, edge = EDGE }: Circumstances = {},
): Promise<Person> {
  const userId = `${role}-${randomUUID().slice(0, 12)}`;
  let held: Promise<string> | null = null;
  const sockets: WebSocket[] = [];
  const pages = new Set<(doing: Doing) => void>();
  const getToken: LiveClientOptions['getToken'] = ({ forceRefresh }) => {
    if (forceRefresh || held === null) held = fetchToken(userId, role, tokenSeconds);
    return held;
  };
  const again = () => {
    const client = new LiveClient({
      baseUrl: edge,
      getToken,
      awayWhenHiddenMs: 0,
      watchPage: (report) => {
        pages.add(report);
        return () => pages.delete(report);
      },
      storage: new NoStorage(),
      openSocket: (url, protocols) => {
        const socket = new WebSocket(url, protocols, { origin: edge });
        sockets.push(socket);
        return socket as unknown as SocketLike;
      },
    });
    open.push(client);
    return client;
  };
  const client = again();
  client.connect();
  await until(() => client.state.getSnapshot().phase === 'live');
  const drop = () => {
    for (const socket of sockets.splice(0)) socket.terminate();
  };
  const does = (what: Doing) => {
    for (const report of pages) report(what);
  };
  const signIn = () => {
    held = null;
  };
  return { userId, client, again, drop, does, signIn };
}

export const view = (talk: ChatConversation) => talk.getSnapshot().conversation;
export const loadAll = (client: ChatClient) =>
  Promise.all(Object.values(client.conversations).map((each) => each.load()));

/** A recruiter and a candidate who accepted, and the conversation as each of them has it. */
export async function talking(
  edges: { hers?: string; his?: string } = {},
): Promise<[Person, Person, LiveConversation, LiveConversation]> {
  const rita = await person('recruiter', { edge: edges.hers });
  const carl = await person('candidate', { edge: edges.his });
  await Promise.all([loadAll(rita.client), loadAll(carl.client)]);
  const hers = await rita.client.start({ recipientId: carl.userId, text: 'hello' });
  const his = carl.client.conversation(hers.id);
  await Promise.all([hers.load(), his.load()]);
  await his.accept();
  await until(() => view(hers)?.state === 'active');
  return [rita, carl, hers, his];
}

async function fetchToken(userId: string, role: string, expiresIn: number): Promise<string> {
  const answer = await fetch(`${ISSUER}/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId, role, displayName: userId, expiresIn }),
  });
  return ((await answer.json()) as { token: string }).token;
}

export async function control(
  what: 'kill' | 'stop' | 'start' | 'revoke' | 'ban' | 'unban',
  userId = '',
): Promise<void> {
  const path = `${what}?userId=${encodeURIComponent(userId)}`;
  const answer = await fetch(`${CONTROL}/${path}`, { method: 'POST' });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
}

/** For `expect.poll`; generous, as `until` is: a slow machine is no failure. */
export const soon = { timeout: 60_000, interval: 20 };

/** Waits for a condition. */
export async function until(holds: () => unknown, { within = soon.timeout, every = soon.interval } = {}) {
  const deadline = Date.now() + within;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not so within ${within} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}
