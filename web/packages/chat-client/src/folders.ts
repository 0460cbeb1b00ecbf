// The lists: one store a folder, and the totals over all.

import type { Api } from './api.js';
import { type Entries, ignoreProblem } from './entries.js';
import type { ChatProblem } from './problem.js';
import { type Store, sameOr, Value } from './store.js';
import type { Conversation, FolderName, Unread } from './types.js';

const PAGE_LIMIT = 50;
const RELOAD_LIMIT = 100;

export interface FolderSnapshot {
  /** Newest activity first. */
  readonly items: readonly Conversation[];
  readonly loaded: boolean;
  readonly loading: boolean;
  readonly hasMore: boolean;
  readonly error: ChatProblem | null;
  /** Of the items; muted ones do not count. */
  readonly unreadMessages: number;
  readonly unreadConversations: number;
}

const EMPTY: FolderSnapshot = {
  items: [],
  loaded: false,
  loading: false,
  hasMore: false,
  error: null,
  unreadMessages: 0,
  unreadConversations: 0,
};

const later = (a: Conversation, b: Conversation): number =>
  (b.lastMessageAt ?? '').localeCompare(a.lastMessageAt ?? '') || (a.id < b.id ? 1 : -1);

export class Folder implements Store<FolderSnapshot> {
  readonly #value = new Value(EMPTY);
  #cursor: string | null = null;
  #pages = 0;
  /** The last one of the last page: what stands behind it may have gaps. */
  #bound: Conversation | null = null;
  #underway: Promise<void> | null = null;

  constructor(
    readonly name: FolderName,
    private readonly api: Api,
    private readonly entries: Entries,
  ) {
    entries.watchAll(() => this.#render({}));
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#value.subscribe(listener);
  readonly getSnapshot = (): FolderSnapshot => this.#value.getSnapshot();

  get isComplete(): boolean {
    const { loaded, hasMore } = this.getSnapshot();
    return loaded && !hasMore;
  }

  /** Reads the first page, or all that was read before once more. Its problem is in the snapshot. */
  load(): Promise<void> {
    return this.#only(() => this.#read(Math.max(this.#pages * PAGE_LIMIT, 1), null));
  }

  /** Reads the next page. */
  loadMore(): Promise<void> {
    if (!this.getSnapshot().hasMore) return Promise.resolve();
    return this.#only(() => this.#read(1, this.#cursor));
  }

  reset(): void {
    this.#cursor = null;
    this.#bound = null;
    this.#pages = 0;
    this.#underway = null;
    this.#value.set(EMPTY);
  }

  /** One at a time; the one that is underway serves all who ask meanwhile. */
  #only(read: () => Promise<void>): Promise<void> {
    if (this.#underway === null) {
      this.#render({ loading: true, error: null });
      const underway = read()
        .then(
          () => ({ loaded: true }),
          (error) => {
            ignoreProblem(error);
            return { error: error as ChatProblem };
          },
        )
        .then((change) => {
          if (this.#underway !== underway) return; // reset meanwhile
          this.#underway = null;
          this.#render({ loading: false, ...change });
        });
      this.#underway = underway;
    }
    return this.#underway;
  }

  async #read(atLeast: number, from: string | null): Promise<void> {
    const listed = new Set<string>();
    const asked = this.entries.asking();
    const limit = atLeast > PAGE_LIMIT ? RELOAD_LIMIT : PAGE_LIMIT;
    let cursor = from;
    let last: Conversation | null = null;
    do {
      const own = this.entries.asking();
      const page = await this.api.folder(this.name, limit, cursor);
      for (const each of page.items) {
        listed.add(each.id);
        this.entries.take(each, own);
      }
      last = page.items[page.items.length - 1] ?? last;
      cursor = page.nextCursor;
    } while (cursor !== null && listed.size < atLeast);
    this.#cursor = cursor;
    this.#pages = from === null ? Math.ceil(listed.size / PAGE_LIMIT) : this.#pages + 1;
    this.#bound = cursor === null ? null : last;
    this.#render({ hasMore: cursor !== null });
    if (from !== null) return;
    // What the answer left out has gone elsewhere, unless it came after it was asked for.
    for (const each of this.getSnapshot().items) {
      if (!listed.has(each.id) && this.entries.get(each.id).moment <= asked.moment) {
        this.entries.markStale(each.id);
      }
    }
  }

  #render(change: Partial<FolderSnapshot>): void {
    const held = this.getSnapshot();
    const bound = this.#bound;
    const listed = [...this.entries.views()]
      .filter((each) => each.folder === this.name && (bound === null || later(each, bound) <= 0))
      .sort(later);
    const items = sameOr(held.items, listed);
    const counted = items.filter((each) => !each.muted && each.unreadCount > 0);
    const unreadMessages = counted.reduce((sum, each) => sum + each.unreadCount, 0);
    const next = { ...held, ...change, items, unreadMessages, unreadConversations: counted.length };
    this.#value.set(sameOr(held, next));
  }
}

const COUNTED: readonly FolderName[] = ['inbox', 'requests', 'sent'];
const ASK_AFTER_MS = 1_000;

/**
 * Unread over all lists. While the lists are complete it is their sum; otherwise what the service last said, and
 * it is asked again soon after something came that moves it.
 */
export class Totals implements Store<Unread> {
  readonly #value = new Value<Unread>({ messages: 0, conversations: 0, requests: 0 });
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** How often the service has said them. */
  #times = 0;

  constructor(
    private readonly api: Api,
    private readonly entries: Entries,
    private readonly folders: Record<FolderName, Folder>,
  ) {
    for (const name of COUNTED) folders[name].subscribe(() => this.#derive());
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#value.subscribe(listener);
  readonly getSnapshot = (): Unread => this.#value.getSnapshot();

  /** What the service said. */
  told(unread: Unread): void {
    this.#times += 1;
    if (!this.#derive()) this.#set(unread);
  }

  /** Something came that may move them, and did not say how. */
  moved(): void {
    if (this.#derive()) return;
    this.#timer ??= setTimeout(() => {
      this.stop();
      const times = this.#times;
      // What was said since it was asked for is later than the answer, or not: it is asked for again.
      const answered = (unread: Unread) => (times === this.#times ? this.told(unread) : this.moved());
      this.api.me().then(({ unread }) => answered(unread), ignoreProblem);
    }, ASK_AFTER_MS);
  }

  /** Nothing is asked for. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  reset(): void {
    this.stop();
    this.#set({ messages: 0, conversations: 0, requests: 0 });
  }

  #derive(): boolean {
    if (!COUNTED.every((name) => this.folders[name].isComplete)) return false;
    const totals = { messages: 0, conversations: 0, requests: 0 };
    for (const each of this.entries.views()) {
      if (each.muted || each.archived || each.folder === null) continue;
      totals.messages += each.unreadCount;
      if (each.unreadCount > 0) totals.conversations += 1;
      if (each.folder === 'requests') totals.requests += 1;
    }
    this.#set(totals);
    return true;
  }

  #set(unread: Unread): void {
    const { messages, conversations, requests } = unread;
    this.#value.set(sameOr(this.getSnapshot(), { messages, conversations, requests }));
  }
}
