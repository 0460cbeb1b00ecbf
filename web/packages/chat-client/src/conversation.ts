import type { Api } from './api.js';
import { newKey } from './backoff.js';
import type { Connection } from './connection.js';
import { type Entries, ignoreProblem } from './entries.js';
import { beginOlder, created, withChange, withOlder } from './entry.js';
import type { Outbox, Outgoing } from './outbox.js';
import type { ChatProblem } from './problem.js';
import type { Reads } from './reads.js';
import type { Status } from './state.js';
import { Listeners, type Store, sameOr } from './store.js';
import type { Conversation, Message } from './types.js';

const OLDER_LIMIT = 50;

/** A message as shown: the service's, or one that is still on its way (`id` and `seq` null). */
export interface ChatMessage extends Omit<Message, 'id' | 'seq' | 'changeSeq'> {
  /** For rendering lists: one of this person's keeps it from `queued` on. */
  readonly key: string;
  readonly id: string | null;
  readonly seq: number | null;
  readonly mine: boolean;
  /** `received` when it is not mine; `read` when somebody who shows it has read it. */
  readonly status: 'queued' | 'sending' | 'sent' | 'read' | 'failed' | 'received';
  /** Why it failed. */
  readonly problem: { readonly code: string; readonly message: string } | null;
}

export interface ConversationSnapshot {
  /** Null while not known, and when this person is in it no more. */
  readonly conversation: Conversation | null;
  /** By `seq`, then those on their way. */
  readonly messages: readonly ChatMessage[];
  readonly hasOlder: boolean;
  /** Whether the messages were read. */
  readonly loaded: boolean;
  readonly loading: boolean;
  readonly error: ChatProblem | null;
}

export interface Parts {
  api: Api;
  entries: Entries;
  outbox: Outbox;
  reads: Reads;
  connection: Connection;
  status: Status;
}

/** One conversation: its messages, and what this person does in it. */
export class ChatConversation implements Store<ConversationSnapshot> {
  readonly #listeners = new Listeners<[]>();
  readonly #cache = new Map<string, { from: Message | Outgoing; shown: ChatMessage }>();
  #messages: readonly ChatMessage[] = [];
  #snapshot: ConversationSnapshot;
  #dirty = true;
  #loading = 0;
  #error: ChatProblem | null = null;
  #lastStamp = 0;

  constructor(
    readonly id: string,
    protected readonly parts: Parts,
  ) {
    this.#snapshot = this.#render();
    parts.entries.watch(id, () => this.#changed());
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#listeners.add(listener);

  readonly getSnapshot = (): ConversationSnapshot => {
    if (this.#dirty) {
      this.#dirty = false;
      this.#snapshot = sameOr(this.#snapshot, this.#render());
    }
    return this.#snapshot;
  };

  /** Reads the conversation and its newest messages. The problem is in the snapshot, too. Throws ChatProblem. */
  load(): Promise<void> {
    return this.#during(() => this.parts.entries.loadThread(this.id));
  }

  /** Reads the messages before those shown. Throws ChatProblem. */
  async loadOlder(): Promise<void> {
    const { entries, api } = this.parts;
    const { thread, aside } = entries.get(this.id);
    const first = thread?.messages[0];
    if (!thread?.hasOlder || first === undefined || aside !== null) return;
    entries.update(this.id, beginOlder);
    await this.#during(async () => {
      try {
        const page = await api.messages(this.id, OLDER_LIMIT, first.seq);
        entries.update(this.id, (entry) => withOlder(entry, page, first.seq));
      } catch (error) {
        entries.update(this.id, (entry) => withOlder(entry, null, first.seq));
        throw error;
      }
    });
  }

  /** Shows the message at once and brings it there; returns its key. Throws ChatProblem `outbox_full`. */
  send(text: string, options: { replyToId?: string } = {}): string {
    // Later than the one before, also within a millisecond: what is kept is sorted by it.
    this.#lastStamp = Math.max(Date.now(), this.#lastStamp + 1);
    const clientMessageId = newKey();
    this.parts.outbox.add({
      clientMessageId,
      conversationId: this.id,
      text,
      replyToId: options.replyToId ?? null,
      createdAt: new Date(this.#lastStamp).toISOString(),
      status: 'queued',
      problem: null,
      message: null,
    });
    return clientMessageId;
  }

  /** Sends a failed message again, under its key. */
  retry(key: string): void {
    this.parts.outbox.retry(key);
  }

  /** Gives up a message that failed or waits. */
  discard(key: string): void {
    this.parts.outbox.discard(key);
  }

  /** Throws ChatProblem. */
  async edit(messageId: string, text: string): Promise<void> {
    this.#changedTo(await this.parts.api.edit(this.id, messageId, text));
  }

  /** The text is gone for everybody; the place stays. Throws ChatProblem. */
  async redact(messageId: string): Promise<void> {
    this.#changedTo(await this.parts.api.redact(this.id, messageId));
  }

  /** Read up to `seq` (all that is known): shown at once, told within 2 s, or when the page is hidden. */
  markRead(seq?: number): void {
    this.parts.reads.mark(this.id, seq ?? this.parts.entries.get(this.id).view?.lastSeq ?? 0);
  }

  accept(): Promise<void> {
    return this.#take((api) => api.answer(this.id, 'accept'));
  }

  decline(options: { reason?: string; block?: boolean } = {}): Promise<void> {
    return this.#take((api) => api.answer(this.id, 'decline', options));
  }

  withdraw(): Promise<void> {
    return this.#take((api) => api.answer(this.id, 'withdraw'));
  }

  setMuted(muted: boolean): Promise<void> {
    return this.#take((api) => api.setFlags(this.id, { muted }));
  }

  setArchived(archived: boolean): Promise<void> {
    return this.#take((api) => api.setFlags(this.id, { archived }));
  }

  /** Something of it, or of what is on its way into it, changed. */
  #changed(): void {
    this.#dirty = true;
    const own = new Set<string>();
    const { thread } = this.parts.entries.get(this.id);
    for (const each of thread?.messages ?? []) {
      if (each.senderId === this.parts.entries.me) own.add(each.clientMessageId);
    }
    const last = thread?.messages[thread.messages.length - 1];
    if (last) this.parts.outbox.arrived(this.id, own, last.seq);
    this.#listeners.tell();
  }

  #changedTo(message: Message | null): void {
    const { entries } = this.parts;
    if (!message?.id) return;
    entries.update(this.id, (entry) => withChange(entry, created(message), entries.me, entries.moment));
  }

  async #take(ask: (api: Api) => Promise<Conversation>): Promise<void> {
    const { entries, api } = this.parts;
    const asked = entries.asking();
    const answer = await ask(api);
    // What was asked for has happened, and is shown. Where events came meanwhile, it is read once more: the answer
    // may be older than they are. Nor is it undone by an answer that was asked for before it.
    const isLatest = entries.get(this.id).moment <= asked.moment;
    entries.take(answer, { ...asked, moment: Number.POSITIVE_INFINITY });
    entries.moment += 1;
    const { moment } = entries;
    entries.update(this.id, (entry) => ({ ...entry, moment, stale: entry.stale || !isLatest }));
  }

  async #during(work: () => Promise<void>): Promise<void> {
    this.#loading += 1;
    this.#error = null;
    this.#changed();
    try {
      await work();
    } catch (error) {
      ignoreProblem(error);
      this.#error = error as ChatProblem;
      throw error;
    } finally {
      this.#loading -= 1;
      this.#changed();
    }
  }

  #render(): ConversationSnapshot {
    const { entries, outbox } = this.parts;
    const { thread } = entries.get(this.id);
    const conversation = entries.view(this.id);
    const stored = thread?.messages ?? [];
    const others = conversation?.participants.filter((each) => each.user.id !== entries.me) ?? [];
    const readUpTo = Math.max(0, ...others.map((each) => each.lastReadSeq ?? 0));
    const arrived = new Set<string>();
    const messages = stored.map((each) => {
      const mine = each.senderId === entries.me;
      if (mine) arrived.add(each.clientMessageId);
      return this.#show(each, mine ? (each.seq <= readUpTo ? 'read' : 'sent') : 'received');
    });
    // What is sent comes before what is not, as it will when it is in the thread.
    const waiting = outbox.of(this.id).filter((each) => !arrived.has(each.clientMessageId));
    waiting.sort((a, b) => Number(b.status === 'sent') - Number(a.status === 'sent'));
    for (const each of waiting) messages.push(this.#show(each, each.status));
    const keys = new Set(messages.map((each) => each.key));
    for (const key of this.#cache.keys()) if (!keys.has(key)) this.#cache.delete(key);
    this.#messages = sameOr(this.#messages, messages);
    return {
      conversation,
      messages: this.#messages,
      hasOlder: thread?.hasOlder ?? false,
      loaded: thread !== null,
      loading: this.#loading > 0,
      error: this.#error,
    };
  }

  #show(from: Message | Outgoing, status: ChatMessage['status']): ChatMessage {
    const mine = status !== 'received';
    const stored = 'seq' in from ? from : from.message;
    const key = mine ? from.clientMessageId : (from as Message).id;
    const known = this.#cache.get(key);
    if (known?.from === from && known.shown.status === status) return known.shown;
    const shown: ChatMessage = {
      ...(stored ?? {
        id: null,
        seq: null,
        clientMessageId: from.clientMessageId,
        conversationId: this.id,
        senderId: this.parts.entries.me,
        kind: 'text' as const,
        text: from.text,
        links: [],
        attachments: [],
        replyToId: from.replyToId,
        createdAt: from.createdAt,
        editedAt: null,
        redactedAt: null,
        redactedBy: null,
      }),
      key,
      mine,
      status,
      problem: 'problem' in from ? from.problem : null,
    };
    this.#cache.set(key, { from, shown });
    return shown;
  }
}
