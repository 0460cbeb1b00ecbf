// What an application can watch of the client itself: its state, and its events.

import type { Outgoing } from './outbox.js';
import { Listeners, Value } from './store.js';
import type { Conversation, Frame, Message, Notice, Presence, Receipt } from './types.js';

/**
 * `connecting` at first · `reconnecting` after a loss · `resumed`: what was missed is coming · `resync`: what was
 * missed is being read · `live` · `authRequired`: no session, or one that was revoked (`code` 4501): `connect()`
 * after the next sign-in · `banned`: this person may not use the chat (`code` 4502) · `closed`: ended by the service,
 * `code` says why (4504: a newer connection took its place) · `idle`.
 */
export type Phase =
  | 'idle'
  | 'connecting'
  | 'reconnecting'
  | 'resumed'
  | 'resync'
  | 'live'
  | 'authRequired'
  | 'banned'
  | 'closed';

export interface ClientState {
  readonly phase: Phase;
  readonly userId: string | null;
  /** Unix milliseconds of the next attempt, while `reconnecting` and waiting for it. */
  readonly retryAt: number | null;
  /** The close code, when the service ended it. */
  readonly code: number | null;
  /** How often each happened: what was lost, and what was mended. */
  readonly counts: {
    readonly connects: number;
    readonly losses: number;
    readonly resumed: number;
    readonly resyncs: number;
    readonly authRequired: number;
    readonly duplicates: number;
    readonly mended: number;
    readonly retries: number;
  };
}

export interface ChatEvents {
  state: ClientState;
  /** A message of anybody, the first time this client hears of it. */
  message: { message: Message; conversation: Conversation | null };
  messageUpdated: { message: Message };
  messageFailed: { message: Outgoing };
  conversation: { type: string; id: string; conversation: Conversation | null };
  receipt: Receipt & { conversationId: string };
  block: { userId: string; blocked: boolean };
  resumed: { missed: number };
  resync: { reason: string };
  authRequired: Record<string, never>;
  /** Somebody else began to type, or stopped, in an open conversation; of `LiveClient` only. */
  typing: { conversationId: string; userId: string; typing: boolean };
  /** Somebody whose presence is watched came, went, or is away; of `LiveClient` only. */
  presence: Presence;
  /** What those who run the chat say to everybody, or to this person. */
  notice: Notice;
  /** Each frame of the server, as it came. */
  frame: Frame;
}

export const NO_COUNTS: ClientState['counts'] = {
  connects: 0,
  losses: 0,
  resumed: 0,
  resyncs: 0,
  authRequired: 0,
  duplicates: 0,
  mended: 0,
  retries: 0,
};

export class Status {
  readonly value = new Value<ClientState>({
    phase: 'idle',
    userId: null,
    retryAt: null,
    code: null,
    counts: NO_COUNTS,
  });
  readonly #listeners = new Map<keyof ChatEvents, Listeners<[never]>>();

  on<K extends keyof ChatEvents>(event: K, listener: (data: ChatEvents[K]) => void): () => void {
    let own = this.#listeners.get(event);
    if (own === undefined) {
      own = new Listeners();
      this.#listeners.set(event, own);
    }
    return own.add(listener as (data: never) => void);
  }

  emit<K extends keyof ChatEvents>(event: K, data: ChatEvents[K]): void {
    (this.#listeners.get(event) as Listeners<[ChatEvents[K]]> | undefined)?.tell(data);
  }

  get(): ClientState {
    return this.value.getSnapshot();
  }

  set(change: Partial<ClientState>): void {
    const held = this.get();
    const next = { ...held, ...change };
    if ((Object.keys(change) as (keyof ClientState)[]).every((key) => held[key] === next[key])) return;
    this.value.set(next);
    this.emit('state', next);
  }

  count(name: keyof ClientState['counts']): void {
    const { counts } = this.get();
    this.set({ counts: { ...counts, [name]: counts[name] + 1 } });
  }
}
