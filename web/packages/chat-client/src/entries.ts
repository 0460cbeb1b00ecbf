// All entries, who watches them, and how what is behind gets read again.

import type { Api } from './api.js';
import { delayBefore, pause } from './backoff.js';
import { beginPage, behind, EMPTY, type Entry, withChanges, withPage, withSnapshot } from './entry.js';
import { ChatProblem } from './problem.js';
import { Listeners } from './store.js';
import type { Conversation, Message } from './types.js';

/** What is behind may be on its way: events of one moment come within this. */
const SETTLE_MS = 250;
const CHANGES_LIMIT = 100;
const MOST_CHANGE_PAGES = 5;
const PAGE_LIMIT = 50;
const MEND_ROUNDS = 6;

export interface EntriesHandlers {
  /** Whether it should be read when it is known to exist only. */
  isWanted(id: string): boolean;
  onMended(id: string): void;
}

export class Entries {
  /** Rises with each event. */
  moment = 1;
  me = '';
  /** Nothing is read by itself until `resume`. */
  stopped = false;
  readonly #all = new Map<string, Entry>();
  readonly #shown = new Map<string, Conversation>();
  readonly #watchers = new Map<string, Listeners<[]>>();
  readonly #anyone = new Listeners<[string]>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #mending = new Map<string, Promise<void>>();
  readonly #loading = new Map<string, Promise<void>>();
  /** The moment at which it was found to be gone; answers asked for before that do not bring it back. */
  readonly #gone = new Map<string, number>();
  /** How often in a row it could not be read. */
  readonly #failures = new Map<string, number>();
  /** Local time at which the last complete answer about it was asked for. */
  readonly #readAt = new Map<string, number>();

  constructor(
    private readonly api: Api,
    private readonly handlers: EntriesHandlers,
  ) {}

  get(id: string): Entry {
    return this.#all.get(id) ?? EMPTY;
  }

  /** The conversation with what this device knows before the service does; null: not known (any more). */
  view(id: string): Conversation | null {
    return this.#shown.get(id) ?? null;
  }

  views(): Iterable<Conversation> {
    return this.#shown.values();
  }

  ids(): string[] {
    return [...this.#all.keys()];
  }

  lastReadAt(id: string): number | undefined {
    return this.#readAt.get(id);
  }

  watch(id: string, listener: () => void): () => void {
    let own = this.#watchers.get(id);
    if (own === undefined) {
      own = new Listeners();
      this.#watchers.set(id, own);
    }
    return own.add(listener);
  }

  watchAll(listener: (id: string) => void): () => void {
    return this.#anyone.add(listener);
  }

  tell(id: string): void {
    this.#watchers.get(id)?.tell();
  }

  /** Replaces an entry by what `change` makes of it (null: it is gone), tells, and mends what is left behind. */
  update(id: string, change: (entry: Entry) => Entry | null): void {
    const held = this.get(id);
    const next = change(held);
    if (next === held) return;
    if (next === null) {
      this.forget(id);
      return;
    }
    this.#all.set(id, next);
    const shown = showing(next, this.me);
    const before = this.#shown.get(id);
    if (
      shown !== null &&
      (before === undefined || next.view !== held.view || next.reading !== held.reading)
    ) {
      this.#shown.set(id, shown);
    }
    if (next.view !== held.view || next.thread !== held.thread || next.reading !== held.reading) {
      this.tell(id);
      this.#anyone.tell(id);
    }
    this.#check(id);
  }

  forget(id: string): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.#readAt.delete(id);
    this.#failures.delete(id);
    this.moment += 1;
    this.#gone.set(id, this.moment);
    if (!this.#all.delete(id)) return;
    this.#shown.delete(id);
    this.tell(id);
    this.#anyone.tell(id);
  }

  clear(): void {
    for (const id of this.ids()) this.forget(id);
    for (const each of [this.#gone, this.#loading, this.#mending]) each.clear();
    this.me = '';
  }

  /** Who this is, is known: what was read before is shown accordingly. */
  identify(userId: string): void {
    if (this.me === userId) return;
    this.me = userId;
    for (const id of this.ids()) this.tell(id);
  }

  /** An answer with the whole conversation, asked for when `asked` was noted. */
  take(conversation: Conversation, asked: Asked): void {
    if ((this.#gone.get(conversation.id) ?? 0) > asked.moment) return;
    const heard = asked.heard(conversation.id);
    this.#readAt.set(conversation.id, asked.at);
    this.update(conversation.id, (entry) =>
      withSnapshot(entry, conversation, { moment: asked.moment, heard }, this.me),
    );
  }

  /** To be called before asking for conversations that `take` is given. */
  asking(): Asked {
    const before = new Map([...this.#all].map(([id, entry]) => [id, entry.heard]));
    return {
      moment: this.moment,
      at: Date.now(),
      heard: (id) => before.get(id) ?? EMPTY.heard,
    };
  }

  markStale(id: string): void {
    this.update(id, (entry) => (entry.view === null ? entry : { ...entry, stale: true }));
  }

  /** Reads the newest page of messages; mends instead when they are there. Throws ChatProblem. */
  async loadThread(id: string): Promise<void> {
    if (this.get(id).thread !== null) {
      if (behind(this.get(id))) await this.mend(id);
      return;
    }
    let running = this.#loading.get(id);
    if (running === undefined) {
      running = this.#loadNow(id).finally(() => this.#loading.delete(id));
      this.#loading.set(id, running);
    }
    await running;
  }

  async #loadNow(id: string): Promise<void> {
    const asked = this.asking();
    this.take(await this.api.conversation(id), asked);
    await this.#readPage(id);
  }

  async #readPage(id: string): Promise<void> {
    this.update(id, beginPage);
    try {
      const page = await this.api.messages(id, PAGE_LIMIT);
      this.update(id, (entry) => (entry.pageFrom === null ? entry : withPage(entry, page, this.me)));
    } catch (error) {
      this.update(id, (entry) => (entry.pageFrom === null ? entry : { ...entry, pageFrom: null }));
      throw error;
    }
  }

  /** Reads again what is behind; those who ask meanwhile share it. Throws ChatProblem. */
  mend(id: string): Promise<void> {
    let running = this.#mending.get(id);
    if (running === undefined) {
      running = this.#mendNow(id).then(
        () => {
          this.#mending.delete(id);
          this.#failures.delete(id);
        },
        (error) => {
          this.#mending.delete(id);
          this.#again(id, error);
          throw error;
        },
      );
      this.#mending.set(id, running);
    }
    return running;
  }

  stop(): void {
    this.stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  resume(): void {
    this.stopped = false;
    this.#failures.clear();
    for (const id of this.ids()) this.#check(id);
  }

  /** What could not be read is read later, unless that would be in vain. */
  #again(id: string, error: unknown): void {
    if (!(error instanceof ChatProblem && error.retryable)) return;
    this.update(id, (entry) => ({ ...entry, stale: true }));
    if (this.stopped) return;
    const failures = this.#failures.get(id) ?? 0;
    this.#failures.set(id, failures + 1);
    clearTimeout(this.#timers.get(id));
    this.#timers.set(
      id,
      setTimeout(() => this.#mendByItself(id), delayBefore(failures)),
    );
  }

  #mendByItself(id: string): void {
    this.#timers.delete(id);
    // Its problem is nobody's who asked; it is read again later.
    this.mend(id).catch(ignoreProblem);
  }

  #check(id: string): void {
    const entry = this.get(id);
    if (this.stopped || this.#timers.has(id) || this.#mending.has(id) || !behind(entry)) return;
    if (entry.view === null && !this.handlers.isWanted(id)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      if (this.#all.has(id) && behind(this.get(id))) this.#mendByItself(id);
    }, SETTLE_MS);
    this.#timers.set(id, timer);
  }

  async #mendNow(id: string): Promise<void> {
    for (let round = 0; round < MEND_ROUNDS; round += 1) {
      if (round > 0) {
        await pause(SETTLE_MS * 2 ** round);
        if (this.stopped) return;
      }
      const asked = this.asking();
      let fresh: Conversation;
      try {
        fresh = await this.api.conversation(id);
      } catch (error) {
        if (!(error instanceof ChatProblem && error.code === 'not_found')) throw error;
        this.forget(id);
        return;
      }
      this.take(fresh, asked);
      const { thread } = this.get(id);
      if (thread !== null && thread.changeSeq < fresh.changeSeq) await this.#readChanges(id, fresh.changeSeq);
      if (!behind(this.get(id))) break;
    }
    this.handlers.onMended(id);
  }

  async #readChanges(id: string, upTo: number): Promise<void> {
    const items: Message[] = [];
    let after = this.get(id).thread?.changeSeq ?? 0;
    for (let page = 0; page < MOST_CHANGE_PAGES; page += 1) {
      const { items: more, hasMore } = await this.api.changes(id, after, CHANGES_LIMIT);
      items.push(...more);
      if (!hasMore) {
        this.update(id, (entry) => withChanges(entry, items, upTo, this.me));
        return;
      }
      after = more[more.length - 1]?.changeSeq ?? after;
    }
    // Away for so long that the newest page is the shorter way to the present.
    await this.#readPage(id);
  }
}

export interface Asked {
  readonly moment: number;
  readonly at: number;
  heard(id: string): Entry['heard'];
}

export function ignoreProblem(error: unknown): void {
  if (!(error instanceof ChatProblem) && (error as Error).name !== 'UnauthorizedError') throw error;
}

/** The view as shown: what was read on this device is read at once. */
function showing({ view, thread, reading }: Entry, me: string): Conversation | null {
  if (view === null || reading <= view.lastReadSeq) return view;
  if (reading >= view.lastSeq) return { ...view, lastReadSeq: view.lastSeq, unreadCount: 0 };
  const messages = thread?.messages ?? [];
  const first = messages[0]?.seq ?? Number.POSITIVE_INFINITY;
  const last = messages[messages.length - 1]?.seq ?? 0;
  if (first > reading + 1 || last < view.lastSeq) return { ...view, lastReadSeq: reading };
  const unreadCount = messages.filter(
    (each) => each.seq > reading && each.kind === 'text' && each.redactedAt === null && each.senderId !== me,
  ).length;
  return { ...view, lastReadSeq: reading, unreadCount };
}
