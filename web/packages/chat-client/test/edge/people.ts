import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import { ChatClient, type ChatClientOptions, NoStorage, type SocketLike } from '../../src/index.js';

function given(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is missing: tests/e2e/test_web_client.py runs these tests.`);
  return value;
}

export const EDGE = given('EDGE_URL');
const ISSUER = given('ISSUER_URL');
/** Kills and starts the edge: POST /kill, POST /start. */
const CONTROL = given('CONTROL_URL');

export const open: ChatClient[] = [];

export interface Person {
  userId: string;
  client: ChatClient;
  /** Breaks the client's connections without a word. */
  drop(): void;
  /** Another device, or the same one after a reload. */
  again(): ChatClient;
}

export async function person(role: 'recruiter' | 'candidate', tokenSeconds = 3600): Promise<Person> {
  const userId = `${role}-${randomUUID().slice(0, 12)}`;
  let held: Promise<string> | null = null;
  const sockets: WebSocket[] = [];
  const getToken: ChatClientOptions['getToken'] = ({ forceRefresh }) => {
    if (forceRefresh || held === null) held = fetchToken(userId, role, tokenSeconds);
    return held;
  };
  const again = () => {
    const client = new ChatClient({
      baseUrl: EDGE,
      getToken,
      storage: new NoStorage(),
      openSocket: (url, protocols) => {
        const socket = new WebSocket(url, protocols, { origin: EDGE });
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
  return { userId, client, again, drop };
}

async function fetchToken(userId: string, role: string, expiresIn: number): Promise<string> {
  const answer = await fetch(`${ISSUER}/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId, role, displayName: userId, expiresIn }),
  });
  return ((await answer.json()) as { token: string }).token;
}

export async function control(what: 'kill' | 'start'): Promise<void> {
  const answer = await fetch(`${CONTROL}/${what}`, { method: 'POST' });
  if (!answer.ok) throw new Error(`${what}: ${answer.status}`);
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
