import { Api, type GetToken } from './api.js';
import { newKey } from './backoff.js';
import { Connection, type OpenSocket, type SocketLike } from './connection.js';
import { ChatConversation } from './conversation.js';
import { Entries, ignoreProblem } from './entries.js';
import { behind, type Change, created, withChange, withEvent, withReceipt } from './entry.js';
import { Folder, Totals } from './folders.js';
import { Outbox, type Outgoing } from './outbox.js';
import { Reads } from './reads.js';
import { IndexedDbStorage, NoStorage, type OutboxStorage } from './storage.js';
import { Listeners, type Store, Value } from './store.js';
import type {
  Context,
  Conversation,
  ConversationChange,
  FolderName,
  Frame,
  Message,
  Receipt,
  Unread,
  WatchItem,
  Welcome,
} from './types.js';

const REMEMBERED_EVENTS = 2_000;
/** How far the clocks that a change and a read were stamped with may lie apart. */
const CLOCK_MARGIN_MS = 2_000;
const MENDS_AT_ONCE = 4;
/** More than these are read as lists. */
const FEW = 10;

export interface ChatClientOptions {
  /** Where the chat is, without a slash at the end; the page's own origin when left out. */
  baseUrl?: string;
  getToken: GetToken;
  /** Where unsent messages outlive the page: IndexedDB where there is one. */
  storage?: OutboxStorage;
  fetch?: typeof fetch;
  openSocket?: OpenSocket;
  /** Between 0 and 1, for the jitter of delays. */
  random?: () => number;
}

/**
 * `connecting` at first · `reconnecting` after a loss · `resumed`: what was missed is coming · `resync`: what was
 * missed is being read · `live` · `authRequired`: no session, `connect()` after the next sign-in ·
 * `closed`: ended by the service, `code` says why · `idle`.
 */
export type Phase =
  | 'idle'
  | 'connecting'
  | 'reconnecting'
  | 'resumed'
  | 'resync'
  | 'live'
  | 'authRequired'
  | 'closed';

export interface ClientState {
  readonly phase: Phase;
  readonly userId: string | null;
  /** Unix milliseconds of the next attempt, while `reconnecting` and waiting for it. */
  readonly retryAt: number | null;
  /** The close code, when `closed`. */
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
  /** Each frame of the server, as it came. */
  frame: Frame;
}

const FOLDERS: readonly FolderName[] = ['inbox', 'requests', 'sent', 'archived'];
const NO_COUNTS = {
  connects: 0,
  losses: 0,
  resumed: 0,
  resyncs: 0,
  authRequired: 0,
  duplicates: 0,
  mended: 0,
  retries: 0,
};

/** The chat of one signed-in person. */
export class ChatClient {
  /** The lists. */
  readonly conversations: Readonly<Record<FolderName, Folder>>;
  /** Unread over all of them. */
  readonly unread: Store<Unread>;
  readonly state: Store<ClientState>;

  readonly #api: Api;
  readonly #storage: OutboxStorage;
  readonly #entries: Entries;
  readonly #outbox: Outbox;
  readonly #reads: Reads;
  readonly #totals: Totals;
  readonly #connection: Connection;
  readonly #status: Value<ClientState>;
  readonly #handles = new Map<string, ChatConversation>();
  readonly #listeners = new Map<keyof ChatEvents, Listeners<[never]>>();
  readonly #seen = new Set<string>();
  #welcome: Welcome | null = null;
  #missed = 0;
  /** Local time at which lists were first read: what is not in them and older lies beyond them. */
  #listsReadAt: number | null = null;

  constructor(options: ChatClientOptions) {
    const random = options.random ?? Math.random;
    const baseUrl = options.baseUrl ?? globalThis.location.origin;
    const fetchIt = options.fetch ?? ((...a: Parameters<typeof fetch>) => globalThis.fetch(...a));
    const openSocket = options.openSocket ?? browserSocket;
    const hasStorage = typeof indexedDB !== 'undefined';
    this.#storage = options.storage ?? (hasStorage ? new IndexedDbStorage() : new NoStorage());
    this.#status = new Value<ClientState>({
      phase: 'idle',
      userId: null,
      retryAt: null,
      code: null,
      counts: NO_COUNTS,
    });
    this.state = this.#status;
    this.#api = new Api(baseUrl, options.getToken, fetchIt, () => this.#authRequired());
    this.#entries = new Entries(this.#api, {
      isWanted: (id) => this.#listsReadAt !== null || this.#handles.has(id),
      onMended: () => this.#count('mended'),
    });
    this.#outbox = new Outbox(this.#api, this.#storage, {
      onChange: (id) => this.#entries.tell(id),
      onSent: (message) => this.#change(message.conversationId, created(message)),
      onFailed: (message) => this.#emit('messageFailed', { message }),
      onRetry: () => this.#count('retries'),
      random,
    });
    const folder = (name: FolderName) => new Folder(name, this.#api, this.#entries);
    this.conversations = {
      inbox: folder('inbox'),
      requests: folder('requests'),
      sent: folder('sent'),
      archived: folder('archived'),
    };
    for (const name of FOLDERS) {
      this.conversations[name].subscribe(() => {
        if (this.conversations[name].getSnapshot().loading) this.#listsReadAt ??= Date.now();
      });
    }
    this.#totals = new Totals(this.#api, this.#entries, this.conversations);
    this.unread = this.#totals;
    this.#reads = new Reads(this.#api, this.#entries, (unread) => this.#totals.told(unread));
    const url = `${baseUrl.replace(/^http/, 'ws')}/ws/chat`;
    this.#connection = new Connection(url, this.#api, openSocket, {
      onFrame: (frame) => this.#receive(frame),
      onWaiting: (retryAt) => this.#lost(retryAt),
      onConnecting: () => this.#connecting(),
      onEnd: (code) => (code === 4500 ? this.#authRequired() : this.#set({ phase: 'closed', code })),
      random,
    });
  }

  /** Begins, or begins again after `authRequired` and `closed`. */
  connect(): void {
    if (typeof addEventListener === 'function') {
      addEventListener('online', this.#onOnline);
      addEventListener('offline', this.#onOffline);
      addEventListener('pagehide', this.#onHide);
      globalThis.document?.addEventListener('visibilitychange', this.#onHide);
    }
    this.#connection.start();
    this.#entries.resume();
    this.#outbox.resume();
  }

  /** Ends the connection; unsent messages are kept. */
  disconnect(): void {
    this.#stopListening();
    this.#connection.stop();
    this.#entries.stop();
    this.#outbox.stop();
    void this.#reads.flush(true);
    this.#set({ phase: 'idle', retryAt: null, code: null });
  }

  /** Tries to connect now instead of at `retryAt`. */
  retryNow(): void {
    this.#connection.retryNow();
    this.#outbox.resume();
  }

  /** Disconnects and wipes everything that is kept, also of earlier people on this browser. */
  async signOut(): Promise<void> {
    this.disconnect();
    this.#reads.clear();
    this.#outbox.clear();
    this.#entries.clear();
    this.#entries.me = '';
    this.#handles.clear();
    this.#seen.clear();
    this.#totals.reset();
    for (const name of FOLDERS) this.conversations[name].reset();
    this.#listsReadAt = null;
    this.#connection.cursor = null;
    this.#set({ userId: null, counts: NO_COUNTS });
    await this.#storage.clear();
  }

  /** Calls `listener` on each `event`; returns how to stop. */
  on<K extends keyof ChatEvents>(event: K, listener: (data: ChatEvents[K]) => void): () => void {
    let own = this.#listeners.get(event);
    if (own === undefined) {
      own = new Listeners();
      this.#listeners.set(event, own);
    }
    return own.add(listener as (data: never) => void);
  }

  /** The conversation with this id: the same object each time. */
  conversation(id: string): ChatConversation {
    let handle = this.#handles.get(id);
    if (handle === undefined) {
      const parts = { api: this.#api, entries: this.#entries, outbox: this.#outbox, reads: this.#reads };
      handle = new ChatConversation(id, parts);
      this.#handles.set(id, handle);
    }
    return handle;
  }

  /** Writes to somebody, into the conversation that the two have about this job, or a new one. Throws ChatProblem. */
  async start(what: {
    recipientId: string;
    text: string;
    context?: Context;
    clientMessageId?: string;
  }): Promise<ChatConversation> {
    const { recipientId, text, context, clientMessageId = newKey() } = what;
    const asked = this.#entries.asking();
    const { conversation } = await this.#api.start(recipientId, context, { clientMessageId, text });
    this.#entries.take(conversation, asked);
    return this.conversation(conversation.id);
  }

  /** Once it resolves, nothing passes between the two any more. Throws ChatProblem. */
  block = (userId: string): Promise<void> => this.#setBlocked(userId, true);

  /** Throws ChatProblem. */
  unblock = (userId: string): Promise<void> => this.#setBlocked(userId, false);

  async #setBlocked(userId: string, blocked: boolean): Promise<void> {
    await this.#api.setBlocked(userId, blocked);
    this.#rereadWith(userId);
  }

  // The connection

  readonly #onOnline = (): void => this.retryNow();
  readonly #onOffline = (): void => this.#connection.lost();
  readonly #onHide = (event: Event): void => {
    if (event.type === 'pagehide' || globalThis.document.visibilityState === 'hidden') {
      void this.#reads.flush(true);
    }
  };

  #stopListening(): void {
    if (typeof removeEventListener !== 'function') return;
    removeEventListener('online', this.#onOnline);
    removeEventListener('offline', this.#onOffline);
    removeEventListener('pagehide', this.#onHide);
    globalThis.document?.removeEventListener('visibilitychange', this.#onHide);
  }

  #connecting(): void {
    const { counts } = this.#status.getSnapshot();
    this.#welcome = null;
    this.#set({ phase: counts.connects > 0 ? 'reconnecting' : 'connecting', retryAt: null, code: null });
  }

  #lost(retryAt: number): void {
    const { phase, counts } = this.#status.getSnapshot();
    const isLoss = phase === 'live' || phase === 'resumed' || phase === 'resync';
    this.#welcome = null;
    this.#set({
      phase: counts.connects > 0 ? 'reconnecting' : 'connecting',
      retryAt,
      ...(isLoss ? { counts: { ...counts, losses: counts.losses + 1 } } : {}),
    });
  }

  #authRequired(): void {
    if (this.#status.getSnapshot().phase === 'authRequired') return;
    this.#connection.stop();
    this.#entries.stop();
    this.#outbox.stop();
    this.#count('authRequired');
    this.#set({ phase: 'authRequired', retryAt: null });
    this.#emit('authRequired', {});
  }

  #set(change: Partial<ClientState>): void {
    const held = this.#status.getSnapshot();
    const next = { ...held, ...change };
    if ((Object.keys(change) as (keyof ClientState)[]).every((key) => held[key] === next[key])) return;
    this.#status.set(next);
    this.#emit('state', next);
  }

  #count(name: keyof ClientState['counts']): void {
    const { counts } = this.#status.getSnapshot();
    this.#set({ counts: { ...counts, [name]: counts[name] + 1 } });
  }

  #emit<K extends keyof ChatEvents>(event: K, data: ChatEvents[K]): void {
    (this.#listeners.get(event) as Listeners<[ChatEvents[K]]> | undefined)?.tell(data);
  }

  // What the server says

  #receive(frame: Frame): void {
    this.#emit('frame', frame);
    const { type, eventId } = frame;
    if (eventId !== undefined) {
      if (this.#seen.has(eventId)) return this.#count('duplicates');
      this.#seen.add(eventId);
      if (this.#seen.size > REMEMBERED_EVENTS) this.#seen.delete(this.#seen.values().next().value as string);
    }
    this.#entries.moment += 1;
    if (type === 'system.welcome') this.#welcomed(frame.data as Welcome);
    else if (type === 'system.caught_up') this.#caughtUp();
    else this.#happened(frame);
  }

  #happened({ type, conversationId = '', data }: Frame): void {
    this.#missed += 1;
    switch (type) {
      case 'message.created':
        return this.#messageCreated((data as { message: Message }).message);
      case 'message.updated': {
        const { message } = data as { message: Message };
        this.#change(message.conversationId, created(message));
        return this.#emit('messageUpdated', { message });
      }
      case 'message.deleted': {
        const { seq, changeSeq } = data as Change;
        return this.#change(conversationId, { seq, changeSeq, message: null });
      }
      case 'read.receipt': {
        const receipt = data as Receipt;
        this.#entries.update(conversationId, (entry) =>
          entry.view === null ? entry : withReceipt(entry, receipt, this.#entries.me),
        );
        return this.#emit('receipt', { ...receipt, conversationId });
      }
      case 'block.created':
      case 'block.removed': {
        const { userId } = data as { userId: string };
        this.#rereadWith(userId);
        return this.#emit('block', { userId, blocked: type === 'block.created' });
      }
      default:
        if (type.startsWith('conversation.')) this.#conversationChanged(type, data as ConversationChange);
    }
  }

  #messageCreated(message: Message): void {
    const { conversationId: id } = message;
    const before = this.#entries.get(id);
    this.#change(id, created(message));
    const isKnown = before.view !== null && message.changeSeq <= before.view.changeSeq;
    if (!isKnown) this.#emit('message', { message, conversation: this.#entries.view(id) });
  }

  #change(id: string, change: Change): void {
    const entries = this.#entries;
    if (entries.get(id).view === null && this.#listsReadAt === null && !this.#handles.has(id)) {
      return this.#totals.moved(); // nobody looks at it
    }
    entries.update(id, (entry) => withChange(entry, change, entries.me, entries.moment));
    this.#totals.moved();
  }

  #conversationChanged(type: string, data: ConversationChange): void {
    const entries = this.#entries;
    const { id } = data.conversation;
    const isWanted = entries.get(id).view !== null || this.#listsReadAt !== null || this.#handles.has(id);
    if (isWanted) entries.update(id, (entry) => withEvent(entry, data, entries.me, entries.moment));
    this.#totals.told(data.unread);
    this.#emit('conversation', { type, id, conversation: entries.view(id) });
  }

  #rereadWith(userId: string): void {
    for (const each of [...this.#entries.views()]) {
      if (each.participants.some((one) => one.user.id === userId)) this.#entries.markStale(each.id);
    }
  }

  #welcomed(welcome: Welcome): void {
    this.#welcome = welcome;
    this.#missed = 0;
    this.#entries.me = welcome.userId;
    this.#count('connects');
    this.#totals.told(welcome.unread);
    if (welcome.resumed) this.#count('resumed');
    else if (this.#entries.ids().length > 0 || this.#listsReadAt !== null) this.#count('resyncs');
    this.#set({ phase: welcome.resumed ? 'resumed' : 'resync', userId: welcome.userId, retryAt: null });
    void this.#outbox.open(welcome.userId);
    void this.#reads.flush();
  }

  #caughtUp(): void {
    const welcome = this.#welcome;
    if (welcome === null) return;
    if (welcome.resumed) this.#emit('resumed', { missed: this.#missed });
    else this.#emit('resync', { reason: welcome.reason ?? '' });
    const offset = Date.parse(welcome.serverTime) - Date.now();
    const done = () => {
      if (this.#welcome === welcome) this.#set({ phase: 'live' });
    };
    // What could not be read now is read later: nobody has to wait for it.
    this.#resync(welcome, offset).then(done, (error) => {
      done();
      ignoreProblem(error);
    });
  }

  /** Brings what is held to what the watch list says; reads only what differs. */
  async #resync(welcome: Welcome, offset: number): Promise<void> {
    if (this.#listsReadAt === null && this.#entries.ids().length === 0) return;
    const wanted = new Set<string>();
    let items: readonly WatchItem[] = welcome.watchList;
    let cursor: string | null = null;
    for (;;) {
      let differs = false;
      for (const item of items) {
        if (!this.#differs(item, offset)) continue;
        differs = true;
        if (item.removed) this.#entries.remove(item.conversationId);
        else wanted.add(item.conversationId);
      }
      // A list that ends with something known has told all; a resumed welcome's is complete.
      const isCut = items === welcome.watchList ? items.length >= 200 && !welcome.resumed : cursor !== null;
      if (!isCut || !differs) break;
      const page = await this.#api.watchList(cursor);
      items = page.items;
      cursor = page.nextCursor;
    }
    for (const id of this.#entries.ids()) {
      const entry = this.#entries.get(id);
      if (behind(entry) || (!welcome.resumed && entry.thread !== null)) wanted.add(id);
    }
    // Where everything may have been missed, what is shown is read again, a page of it at once.
    const startedAt = Date.now();
    const asLists = !welcome.resumed || wanted.size > FEW;
    if (asLists) {
      const loaded = FOLDERS.filter((name) => this.conversations[name].getSnapshot().loaded);
      await Promise.all(loaded.map((name) => this.conversations[name].load()));
    }
    const queue = [...wanted].filter((id) => {
      const isRead = asLists && (this.#entries.lastReadAt(id) ?? 0) >= startedAt;
      return !isRead || behind(this.#entries.get(id));
    });
    const work = async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop())
        await this.#entries.mend(id).catch(ignoreProblem);
    };
    await Promise.all(Array.from({ length: MENDS_AT_ONCE }, work));
  }

  #differs(item: WatchItem, offset: number): boolean {
    const { view, thread } = this.#entries.get(item.conversationId);
    const changedAt = Date.parse(item.changedAt) - offset;
    if (item.removed) return view !== null;
    const readAt = this.#entries.lastReadAt(item.conversationId) ?? this.#listsReadAt;
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

function browserSocket(url: string, protocols: string[]): SocketLike {
  return new WebSocket(url, protocols) as unknown as SocketLike;
}
