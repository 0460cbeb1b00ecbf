// Messages on their way: in order in each conversation, under one key however often it takes.

import type { Api } from './api.js';
import { delayAfter, pause } from './backoff.js';
import { ChatProblem } from './problem.js';
import type { OutboxStorage } from './storage.js';
import type { Message } from './types.js';

const MOST = 100;
const KEPT_MS = 24 * 3600 * 1000;

export interface Outgoing {
  readonly clientMessageId: string;
  readonly conversationId: string;
  readonly text: string;
  readonly replyToId: string | null;
  readonly createdAt: string;
  readonly status: 'queued' | 'sending' | 'sent' | 'failed';
  /** Why it failed; null otherwise. */
  readonly problem: { readonly code: string; readonly message: string } | null;
  /** Once sent, until the thread shows it. */
  readonly message: Message | null;
}

export interface OutboxHandlers {
  onChange(conversationId: string): void;
  onSent(message: Message): void;
  onFailed(item: Outgoing): void;
  onRetry(): void;
  random(): number;
}

export class Outbox {
  #items: readonly Outgoing[] = [];
  readonly #working = new Set<string>();
  #wake = new AbortController();
  #userId: string | null = null;
  #stopped = false;
  /** Forgotten while what is kept is being read. */
  #gone = new Set<string>();

  constructor(
    private readonly api: Api,
    private readonly storage: OutboxStorage,
    private readonly handlers: OutboxHandlers,
  ) {}

  /** In the order in which they were written. */
  of(conversationId: string): readonly Outgoing[] {
    return this.#items.filter((each) => each.conversationId === conversationId);
  }

  /** Whose it is, is known: takes up what an earlier page left unsent. */
  async open(userId: string): Promise<void> {
    if (this.#userId !== userId) {
      this.#userId = userId;
      for (const each of this.#items) if (each.status !== 'sent') this.#keep(each);
    }
    this.#stopped = false;
    this.#gone.clear();
    let kept: Outgoing[] = [];
    try {
      kept = await this.storage.load(userId);
    } catch {
      // Not kept, then.
    }
    if (this.#userId !== userId || this.#stopped) return;
    const known = new Set([...this.#gone, ...this.#items.map((each) => each.clientMessageId)]);
    const old = kept.filter((each) => !known.has(each.clientMessageId) && each.status !== 'sent');
    old.sort((a, b) => a.createdAt.localeCompare(b.createdAt));
    for (const each of old.filter(isOver)) this.#forget(each.clientMessageId);
    const restored = old
      .filter((each) => !isOver(each))
      .map((each): Outgoing => (each.status === 'sending' ? { ...each, status: 'queued' } : each));
    this.#items = [...restored, ...this.#items];
    for (const id of new Set(restored.map((each) => each.conversationId))) this.handlers.onChange(id);
    this.wake();
  }

  /** Tries at once what waits for its next attempt. */
  wake(): void {
    this.#wake.abort();
    this.#wake = new AbortController();
    for (const id of this.#conversations()) void this.#work(id);
  }

  /** Nothing is sent until `open` says whose it is: it may be another person's turn. */
  stop(): void {
    this.#stopped = true;
    this.#wake.abort();
    this.#wake = new AbortController();
    this.storage.release?.();
  }

  /** Throws ChatProblem `outbox_full` when 100 wait. */
  add(item: Outgoing): void {
    if (this.#items.filter((each) => each.status !== 'sent').length >= MOST) {
      throw new ChatProblem({ code: 'outbox_full', detail: `${MOST} messages wait to be sent.` });
    }
    this.#items = [...this.#items, item];
    this.#keep(item);
    this.handlers.onChange(item.conversationId);
    void this.#work(item.conversationId);
  }

  /** Sends one that failed again, after those that wait. */
  retry(clientMessageId: string): void {
    const item = this.#items.find((each) => each.clientMessageId === clientMessageId);
    if (item?.status !== 'failed') return;
    // A day of its own again: whoever asks for it still means it.
    const again: Outgoing = { ...item, status: 'queued', problem: null, createdAt: new Date().toISOString() };
    this.#items = [...this.#items.filter((each) => each !== item), again];
    this.#keep(again);
    this.handlers.onChange(item.conversationId);
    void this.#work(item.conversationId);
  }

  /** Gives up one that is not being sent at this moment. */
  discard(clientMessageId: string): void {
    const item = this.#items.find((each) => each.clientMessageId === clientMessageId);
    if (item === undefined || item.status === 'sending' || item.status === 'sent') return;
    this.#drop(item);
  }

  /** The thread shows these messages of this person's, and all up to `lastSeq`: nothing else has to. */
  arrived(conversationId: string, clientMessageIds: ReadonlySet<string>, lastSeq: number): void {
    for (const item of this.of(conversationId)) {
      const isThere = item.message !== null && item.message.seq <= lastSeq;
      if (isThere || clientMessageIds.has(item.clientMessageId)) this.#drop(item);
    }
  }

  /** One that was sent has changed since: its text may be gone. */
  changed(message: Message): void {
    const item = this.#items.find((each) => each.message?.id === message.id);
    if (item?.message && item.message.changeSeq < message.changeSeq) {
      this.#set(item, { message, text: message.text });
    }
  }

  /** Lets go of all; what is kept stays for its writer's next sign-in. */
  clear(): void {
    const held = this.#conversations();
    this.stop();
    this.#items = [];
    this.#userId = null;
    for (const id of held) this.handlers.onChange(id);
  }

  #conversations(): Set<string> {
    return new Set(this.#items.map((each) => each.conversationId));
  }

  async #work(conversationId: string): Promise<void> {
    if (this.#working.has(conversationId)) return;
    this.#working.add(conversationId);
    try {
      for (let attempt = 0; !this.#stopped; ) {
        const item = this.of(conversationId).find((each) => each.status === 'queued');
        if (item === undefined) return;
        if (isOver(item)) {
          this.#fail(item, new ChatProblem({ code: 'expired', detail: 'Not sent within a day.' }));
          continue;
        }
        const wake = this.#wake;
        const wait = await this.#send(item, attempt);
        attempt = wait === null ? 0 : attempt + 1;
        if (wait !== null) await pause(wait, wake.signal);
      }
    } finally {
      this.#working.delete(conversationId);
    }
  }

  /** Milliseconds until the next attempt; null when it is sent, or failed for good. */
  async #send(item: Outgoing, attempt: number): Promise<number | null> {
    const { clientMessageId, conversationId, text, replyToId } = item;
    const sending = this.#set(item, { status: 'sending' });
    let message: Message;
    try {
      const body = { clientMessageId, text, ...(replyToId === null ? {} : { replyToId }) };
      message = await this.api.send(conversationId, body);
    } catch (error) {
      const problem = error instanceof ChatProblem ? error : null;
      if (problem?.retryable === false) {
        this.#fail(sending, problem);
        return null;
      }
      this.#set(sending, { status: 'queued' });
      if (problem) this.handlers.onRetry();
      return delayAfter(problem, attempt, this.handlers.random);
    }
    this.#set(sending, { status: 'sent', message });
    this.#forget(clientMessageId);
    this.handlers.onSent(message);
    return null;
  }

  #fail(item: Outgoing, { code, message }: ChatProblem): void {
    const failed = this.#set(item, { status: 'failed', problem: { code, message } });
    this.#keep(failed);
    this.handlers.onFailed(failed);
  }

  #set(item: Outgoing, change: Partial<Outgoing>): Outgoing {
    const next = { ...item, ...change };
    this.#items = this.#items.map((each) => (each.clientMessageId === item.clientMessageId ? next : each));
    this.handlers.onChange(item.conversationId);
    return next;
  }

  #drop(item: Outgoing): void {
    this.#items = this.#items.filter((each) => each.clientMessageId !== item.clientMessageId);
    this.#forget(item.clientMessageId);
    this.handlers.onChange(item.conversationId);
  }

  #keep(item: Outgoing): void {
    if (this.#userId !== null) this.storage.put(this.#userId, item).catch(notKept);
  }

  #forget(clientMessageId: string): void {
    this.#gone.add(clientMessageId);
    if (this.#userId !== null) this.storage.remove(this.#userId, clientMessageId).catch(notKept);
  }
}

function isOver(item: Outgoing): boolean {
  return Date.now() - Date.parse(item.createdAt) > KEPT_MS;
}

/** A full or forbidden storage costs what it would have kept over a reload, and no message of this page. */
function notKept(): void {}
