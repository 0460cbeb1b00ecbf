// What is known of one conversation, and how events and answers change it. Pure: (entry, what came) -> entry.
//
// Two things are held, each exact as of a change number: the `view` (the conversation as REST shows it) and the
// `thread` (its messages, when loaded). A change whose predecessors are missing waits in `ahead`; positions that
// somebody mentioned are `heard`. `behind` says whether something has to be read again; whoever does that brings
// `withSnapshot` and `withChanges`. Events may come late, twice, in any order, or not at all.

import type { Conversation, ConversationChange, FolderName, Message, MessagePage, Receipt } from './types.js';

/** A message was created, edited, redacted …, or (null) its row was erased. */
export interface Change {
  readonly seq: number;
  readonly changeSeq: number;
  readonly message: Message | null;
}

export interface Thread {
  /** By `seq`, without a gap, up to the newest. */
  readonly messages: readonly Message[];
  /** All changes up to this one are in `messages`. */
  readonly changeSeq: number;
  readonly hasOlder: boolean;
}

interface Heard {
  readonly changeSeq: number;
  readonly lastSeq: number;
  readonly read: number;
  readonly version: number;
}

export interface Entry {
  readonly view: Conversation | null;
  /** `view.unreadCount` is exact as of this change; never less than `view.changeSeq`. */
  readonly countAt: number;
  readonly thread: Thread | null;
  /** The first page is being read; it has all changes up to this one. */
  readonly pageFrom: number | null;
  /** What came while an older page was being read: the page may not have it yet. */
  readonly aside: readonly Change[] | null;
  readonly ahead: readonly Change[];
  readonly heard: Heard;
  /** The view has to be read again, whatever the numbers say. */
  readonly stale: boolean;
  /** When something of it changed that has no number; answers asked for before are not taken for that. */
  readonly moment: number;
  /** Read by this person up to here, as this device knows before the service does. */
  readonly reading: number;
}

const NOTHING_HEARD: Heard = { changeSeq: 0, lastSeq: 0, read: 0, version: 0 };
const MOST_AHEAD = 200;

export const EMPTY: Entry = {
  view: null,
  countAt: 0,
  thread: null,
  pageFrom: null,
  aside: null,
  ahead: [],
  heard: NOTHING_HEARD,
  stale: false,
  moment: 0,
  reading: 0,
};

export const created = (message: Message): Change => ({
  seq: message.seq,
  changeSeq: message.changeSeq,
  message,
});

/** Whether something is known to exist that is not held. */
export function behind(entry: Entry): boolean {
  const { view, heard, thread } = entry;
  return (
    view === null ||
    entry.stale ||
    entry.ahead.length > 0 ||
    heard.changeSeq > view.changeSeq ||
    heard.lastSeq > view.lastSeq ||
    heard.read > view.lastReadSeq ||
    heard.version > view.version ||
    (thread !== null && thread.changeSeq < view.changeSeq)
  );
}

/** A message changed. `moment` is now, `me` whose view this is. */
export function withChange(entry: Entry, change: Change, me: string, moment: number): Entry {
  const heard = hear(entry.heard, { changeSeq: change.changeSeq, lastSeq: change.seq });
  const aside = entry.aside && [...entry.aside, change];
  if (change.changeSeq <= floor(entry)) return { ...entry, heard, aside };
  const known = entry.ahead.some((each) => each.changeSeq === change.changeSeq);
  const ahead = known ? entry.ahead : [...entry.ahead, change].sort((a, b) => a.changeSeq - b.changeSeq);
  // Too many to wait for: what was heard stays, and all of it is read again.
  return settled({ ...entry, heard, aside, ahead: ahead.length > MOST_AHEAD ? [] : ahead }, me, moment);
}

/** A `conversation.*` event; null when this person is in it no more. */
export function withEvent(entry: Entry, data: ConversationChange, me: string, moment: number): Entry | null {
  const { conversation: told, self } = data;
  if (self === null) return null;
  const heard = hear(entry.heard, { ...told, changeSeq: told.changeSeq ?? 0, read: self.lastReadSeq });
  const { view } = entry;
  if (view === null) return { ...entry, heard, moment };
  const { muted, archived, folder } = self;
  let next: Conversation = { ...view, muted, archived, folder };
  if (told.version >= view.version) {
    const { policy, blockedByMe } = self;
    next = {
      ...next,
      state: told.state,
      assigneeId: told.assigneeId,
      version: told.version,
      policy,
      blockedByMe,
    };
  }
  // A new version may bring what events do not carry: receipts that are shown from now on, people, times.
  const stale = entry.stale || told.version > view.version || told.state !== view.state;
  const at = told.changeSeq ?? (told.lastSeq === view.lastSeq ? entry.countAt : -1);
  const counted = count(next, entry.countAt, at, self, me);
  return same(entry, { ...entry, ...counted, heard, moment, stale: stale || counted.stale });
}

/** Somebody, perhaps this person elsewhere, has read up to a message. */
export function withReceipt(entry: Entry, { userId, lastReadSeq }: Receipt, me: string): Entry {
  if (userId === me) return { ...entry, heard: hear(entry.heard, { read: lastReadSeq }) };
  const { view } = entry;
  if (view === null) return entry;
  const participants = view.participants.map((each) =>
    each.user.id === userId && (each.lastReadSeq ?? 0) < lastReadSeq ? { ...each, lastReadSeq } : each,
  );
  return same(entry, { ...entry, view: { ...view, participants } });
}

/** The service's answer to a read mark of this device. */
export function withRead(entry: Entry, lastReadSeq: number, me: string): Entry {
  const { view } = entry;
  const heard = hear(entry.heard, { read: lastReadSeq });
  // Up to all that is known: nothing is left unread. Otherwise only the service knows how much is.
  if (view === null || lastReadSeq < view.lastSeq || entry.countAt > view.changeSeq)
    return { ...entry, heard };
  if (lastReadSeq <= view.lastReadSeq) return entry;
  return {
    ...entry,
    heard,
    ...count(view, entry.countAt, entry.countAt, { lastReadSeq, unreadCount: 0 }, me),
  };
}

/**
 * The conversation as REST gave it. `asked` is the moment and what had been heard when it was asked for: where
 * nothing came since, the answer is the truth; otherwise what has no number may be older than what is held.
 */
export function withSnapshot(
  entry: Entry,
  fresh: Conversation,
  asked: { moment: number; heard: Heard | null },
  me: string,
): Entry {
  const { view } = entry;
  const isLatest = entry.moment <= asked.moment;
  const heard = entry.heard === asked.heard && isLatest ? NOTHING_HEARD : entry.heard;
  if (view === null) {
    const first = { ...entry, view: fresh, countAt: fresh.changeSeq, heard, stale: !isLatest };
    return settled(first, me, entry.moment);
  }
  const isNewer = fresh.version > view.version || (fresh.version === view.version && isLatest);
  let next = isNewer ? { ...fresh, participants: people(view, fresh, me) } : view;
  const { muted, archived, folder } = isLatest ? fresh : view;
  const { changeSeq, lastSeq, lastMessage, lastMessageAt } = fresh.changeSeq >= view.changeSeq ? fresh : view;
  const { lastReadSeq, unreadCount } = view; // until they are compared
  next = { ...next, muted, archived, folder, changeSeq, lastSeq, lastMessage, lastMessageAt };
  next = { ...next, lastReadSeq, unreadCount };
  const counted = count(next, entry.countAt, fresh.changeSeq, fresh, me);
  const merged = { ...entry, ...counted, heard, stale: !isLatest || counted.stale };
  return settled(merged, me, entry.moment);
}

/** The first page of messages is asked for; the answer will have what the view has now. */
export function beginPage(entry: Entry): Entry {
  return { ...entry, pageFrom: entry.view?.changeSeq ?? 0 };
}

/** The newest messages. */
export function withPage(entry: Entry, page: MessagePage, me: string): Entry {
  const thread = { messages: page.items, changeSeq: entry.pageFrom ?? 0, hasOlder: page.hasOlder };
  return settled({ ...entry, thread, pageFrom: null }, me, entry.moment);
}

export function beginOlder(entry: Entry): Entry {
  return { ...entry, aside: [] };
}

/** Messages before `first`, or (null) they could not be read. */
export function withOlder(entry: Entry, page: MessagePage | null, first: number): Entry {
  const { thread, aside } = entry;
  if (aside === null) return entry; // forgotten meanwhile
  // When the newest page took the thread's place meanwhile, there would be a gap.
  if (page === null || thread?.messages[0]?.seq !== first) return { ...entry, aside: null };
  let messages: readonly Message[] = page.items.filter((each) => each.seq < first);
  for (const change of aside) if (change.seq < first) messages = put(messages, change, false);
  return {
    ...entry,
    aside: null,
    thread: { ...thread, messages: [...messages, ...thread.messages], hasOlder: page.hasOlder },
  };
}

/**
 * Every message changed after the thread's position, as GET …/changes gave them; `upTo` is how far the
 * conversation had changed before they were asked for.
 */
export function withChanges(entry: Entry, items: readonly Message[], upTo: number, me: string): Entry {
  const { thread } = entry;
  if (thread === null) return entry;
  let { messages } = thread;
  for (const message of items) messages = put(messages, created(message), thread.hasOlder);
  const changeSeq = Math.max(thread.changeSeq, upTo, ...items.map((each) => each.changeSeq));
  return settled({ ...entry, thread: { ...thread, messages, changeSeq } }, me, entry.moment);
}

/** Where a conversation of this state stands when it is not archived. */
function home(view: Conversation, me: string): FolderName | null {
  if (view.state === 'active') return 'inbox';
  if (view.state === 'request') return view.initiatorId === me ? 'sent' : 'requests';
  return null;
}

function hear(held: Heard, told: Partial<Heard>): Heard {
  const changeSeq = Math.max(held.changeSeq, told.changeSeq ?? 0);
  const lastSeq = Math.max(held.lastSeq, told.lastSeq ?? 0);
  const read = Math.max(held.read, told.read ?? 0);
  const version = Math.max(held.version, told.version ?? 0);
  return { changeSeq, lastSeq, read, version };
}

/** Changes up to here are in all that is held. */
function floor({ view, thread, pageFrom }: Entry): number {
  const forView = view?.changeSeq ?? Number.POSITIVE_INFINITY;
  return Math.min(forView, thread?.changeSeq ?? pageFrom ?? Number.POSITIVE_INFINITY);
}

/** Takes in what waited, as far as it follows without a gap. */
function settled(entry: Entry, me: string, moment: number): Entry {
  let next = entry;
  for (const change of entry.ahead) {
    if (next.view && change.changeSeq === next.view.changeSeq + 1) next = seenBy(next, change, me, moment);
    const { thread } = next;
    if (thread && change.changeSeq === thread.changeSeq + 1) {
      const messages = put(thread.messages, change, thread.hasOlder);
      next = { ...next, thread: { ...thread, messages, changeSeq: change.changeSeq } };
    }
  }
  const least = floor(next);
  const ahead = next.ahead.filter((each) => each.changeSeq > least);
  return same(entry, { ...next, ahead: ahead.length === next.ahead.length ? next.ahead : ahead });
}

/** The view after the change that follows its own. */
function seenBy(entry: Entry, change: Change, me: string, moment: number): Entry {
  const view = entry.view as Conversation;
  const { message, seq, changeSeq } = change;
  let next: Conversation = { ...view, changeSeq };
  // What an erased message had been to the counts is not known.
  if (message === null)
    return { ...entry, view: next, countAt: Math.max(entry.countAt, changeSeq), stale: true };
  const isNew = seq > view.lastSeq;
  if (seq >= view.lastSeq) next.lastMessage = message;
  if (isNew) {
    next = { ...next, lastSeq: seq, lastMessageAt: message.createdAt };
    if (view.archived && !view.muted) next = { ...next, archived: false, folder: home(view, me) };
  }
  if (changeSeq > entry.countAt) {
    const counts = message.kind === 'text' && message.senderId !== me && seq > view.lastReadSeq;
    const isGone = message.redactedAt !== null;
    // Nothing changes a message after its redaction: one that was there before was counted until now.
    if (counts && isNew !== isGone) next.unreadCount = Math.max(0, view.unreadCount + (isNew ? 1 : -1));
  }
  return {
    ...entry,
    view: next,
    countAt: Math.max(entry.countAt, changeSeq),
    moment: next.folder === view.folder ? entry.moment : moment,
  };
}

/** The view with another count of unread messages, when that is later than the one held. */
function count(
  view: Conversation,
  countAt: number,
  at: number,
  read: Pick<Conversation, 'lastReadSeq' | 'unreadCount'>,
  me: string,
): { view: Conversation; countAt: number; stale: boolean } {
  const { lastReadSeq, unreadCount } = read;
  const later = at >= countAt && lastReadSeq >= view.lastReadSeq;
  const next = later ? { ...view, lastReadSeq, unreadCount } : { ...view };
  next.participants = next.participants.map((each) =>
    each.user.id === me && each.lastReadSeq !== next.lastReadSeq
      ? { ...each, lastReadSeq: next.lastReadSeq }
      : each,
  );
  if (later) return { view: next, countAt: at, stale: false };
  // Counted earlier on one side and later on the other: neither is the truth.
  const mixed = lastReadSeq > view.lastReadSeq || at > countAt;
  return { view: next, countAt: Math.max(countAt, view.changeSeq), stale: mixed };
}

/** Receipts only rise, unless they are hidden from now on. */
function people(view: Conversation, fresh: Conversation, me: string): Conversation['participants'] {
  return fresh.participants.map((each) => {
    const known = view.participants.find((other) => other.user.id === each.user.id)?.lastReadSeq ?? 0;
    if (each.user.id === me || each.lastReadSeq === null || each.lastReadSeq >= known) return each;
    return { ...each, lastReadSeq: known };
  });
}

/** A message in its place; one that lies before those held stays out while there are older ones. */
function put(messages: readonly Message[], change: Change, hasOlder: boolean): readonly Message[] {
  const { message, seq } = change;
  const index = messages.findIndex((each) => each.seq >= seq);
  const held = messages[index]?.seq === seq ? messages[index] : undefined;
  if (message === null) return held ? messages.filter((each) => each !== held) : messages;
  if (held) {
    if (held.changeSeq >= message.changeSeq) return messages;
    return messages.map((each) => (each === held ? message : each));
  }
  if (index === 0 && hasOlder) return messages;
  const at = index < 0 ? messages.length : index;
  return [...messages.slice(0, at), message, ...messages.slice(at)];
}

/** `next`, its view being the held one when both say the same. */
function same(held: Entry, next: Entry): Entry {
  if (held.view === null || next.view === held.view) return next;
  return JSON.stringify(held.view) === JSON.stringify(next.view) ? { ...next, view: held.view } : next;
}
