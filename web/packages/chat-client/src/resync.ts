// After an absence: what the watch list says is different is read again.

import type { Api } from './api.js';
import { type Entries, ignoreProblem } from './entries.js';
import { behind } from './entry.js';
import type { Folder } from './folders.js';
import type { WatchItem, Welcome } from './types.js';

/** How far the clocks that a change and a read were stamped with may lie apart. */
const CLOCK_MARGIN_MS = 2_000;
const MENDS_AT_ONCE = 4;
/** More than these are read as lists. */
const FEW = 10;
/** A welcome's list that is as long may be cut. */
const LONGEST_WELCOME = 200;

export class Resync {
  /** Local time at which lists were first read: what is not in them and older lies beyond them. */
  listsReadAt: number | null = null;
  /** Something was missed, and is not known to have been read yet: a resumed connection's short list will not do. */
  #isOwed = false;
  #wasOwed = false;
  #welcome: Welcome | null = null;
  #clockOffset = 0;

  constructor(
    private readonly api: Api,
    private readonly entries: Entries,
    private readonly folders: readonly Folder[],
  ) {}

  reset(): void {
    this.listsReadAt = null;
    this.#isOwed = false;
  }

  /** To be called with each welcome, before the events that follow it. */
  begin(welcome: Welcome): void {
    this.#welcome = welcome;
    this.#wasOwed = this.#isOwed;
    this.#isOwed = true;
    this.#clockOffset = Date.parse(welcome.serverTime) - Date.now();
  }

  /** Brings what is held to what the watch list says; reads only what differs. Throws ChatProblem: to be repeated. */
  async run(): Promise<void> {
    const welcome = this.#welcome as Welcome;
    if (this.listsReadAt !== null || this.entries.ids().length > 0) {
      await this.#read(welcome, !welcome.resumed || this.#wasOwed);
    }
    if (welcome === this.#welcome && !this.entries.stopped) this.#isOwed = false;
  }

  async #read(welcome: Welcome, isFull: boolean): Promise<void> {
    const { entries } = this;
    const wanted = await this.#compare(welcome);
    for (const id of entries.ids()) {
      const entry = entries.get(id);
      if (behind(entry) || (isFull && entry.thread !== null)) wanted.add(id);
    }
    // Where everything may have been missed, what is shown is read again, a page of it at once.
    const startedAt = Date.now();
    const asLists = isFull || wanted.size > FEW;
    const loaded = this.folders.filter((each) => asLists && each.getSnapshot().loaded);
    await Promise.all(loaded.map((each) => each.load()));
    const queue = [...wanted].filter((id) => {
      const isRead = asLists && (entries.lastReadAt(id) ?? 0) >= startedAt;
      return !isRead || behind(entries.get(id));
    });
    const work = async () => {
      while (!entries.stopped && welcome === this.#welcome) {
        const id = queue.pop();
        if (id === undefined) return;
        await entries.mend(id).catch(ignoreProblem);
      }
    };
    await Promise.all(Array.from({ length: MENDS_AT_ONCE }, work));
    for (const each of loaded) {
      const { error } = each.getSnapshot();
      if (error) throw error;
    }
  }

  /** The conversations of which the watch list knows more than is held. */
  async #compare({ watchList, resumed }: Welcome): Promise<Set<string>> {
    const wasOwed = this.#wasOwed;
    const wanted = new Set<string>();
    const take = (items: readonly WatchItem[]): boolean => {
      const different = items.filter((item) => this.#differs(item));
      for (const { removed, conversationId } of different) {
        if (removed) this.entries.forget(conversationId);
        else wanted.add(conversationId);
      }
      return different.length > 0;
    };
    const isCut = !resumed && watchList.length >= LONGEST_WELCOME;
    let more = (take(watchList) && isCut) || wasOwed;
    for (let cursor: string | null = null; more; ) {
      const page = await this.api.watchList(cursor);
      const differs = take(page.items);
      cursor = page.nextCursor;
      // One that ends with what is known has told all, unless an earlier one was broken off.
      more = cursor !== null && (differs || wasOwed);
    }
    return wanted;
  }

  #differs(item: WatchItem): boolean {
    const { view, thread } = this.entries.get(item.conversationId);
    const changedAt = Date.parse(item.changedAt) - this.#clockOffset;
    if (item.removed) return view !== null;
    const readAt = this.entries.lastReadAt(item.conversationId) ?? this.listsReadAt;
    if (readAt === null) return false;
    if (changedAt > readAt - CLOCK_MARGIN_MS) return true;
    if (view === null) return false;
    return (
      view.version !== item.version ||
      view.state !== item.state ||
      view.lastSeq !== item.lastSeq ||
      view.changeSeq !== item.changeSeq ||
      view.lastReadSeq !== item.lastReadSeq ||
      (thread !== null && thread.changeSeq !== item.changeSeq)
    );
  }
}
