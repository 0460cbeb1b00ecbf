import { Api, type GetToken } from './api.js';
import { delayBefore, newKey, pause } from './backoff.js';
import { Connection, type OpenSocket, type SocketLike } from './connection.js';
import { ChatConversation, type Parts } from './conversation.js';
import { Entries, ignoreProblem } from './entries.js';
import { Events } from './events.js';
import { Folder, Totals } from './folders.js';
import { Outbox } from './outbox.js';
import { ChatProblem } from './problem.js';
import { Reads } from './reads.js';
import { Resync } from './resync.js';
import { type ChatEvents, type ClientState, NO_COUNTS, Status } from './state.js';
import { IndexedDbStorage, NoStorage, type OutboxStorage } from './storage.js';
import type { Store } from './store.js';
import type { Context, FolderName, Frame, Unread, Welcome } from './types.js';

/** The tabs of a browser tell each other here who has signed out. */
const CHANNEL = 'splits-chat';
/** Close codes that are more than an end: 4500 and 4501 ask for a sign-in. */
const SESSION_REVOKED = 4501;
const BANNED = 4502;
const hasChannel = (): boolean => typeof BroadcastChannel !== 'undefined';

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

/** The chat of one signed-in person. */
export class ChatClient {
  /** The lists. */
  readonly conversations: Readonly<Record<FolderName, Folder>>;
  /** Unread over all of them. */
  readonly unread: Store<Unread>;
  readonly state: Store<ClientState>;
  protected readonly parts: Parts;

  readonly #api: Api;
  readonly #storage: OutboxStorage;
  readonly #entries: Entries;
  readonly #outbox: Outbox;
  readonly #reads: Reads;
  readonly #totals: Totals;
  readonly #resync: Resync;
  readonly #events: Events;
  readonly #connection: Connection;
  readonly #status = new Status();
  readonly #folders: readonly Folder[];
  readonly #handles = new Map<string, ChatConversation>();
  #welcome: Welcome | null = null;
  #missed = 0;
  #tabs: BroadcastChannel | null = null;

  constructor(options: ChatClientOptions) {
    const random = options.random ?? Math.random;
    const baseUrl = (options.baseUrl ?? globalThis.location.origin).replace(/\/$/, '');
    const fetchIt = options.fetch ?? ((...a: Parameters<typeof fetch>) => globalThis.fetch(...a));
    const openSocket = options.openSocket ?? browserSocket;
    const hasStorage = typeof indexedDB !== 'undefined';
    const status = this.#status;
    this.#storage = options.storage ?? (hasStorage ? new IndexedDbStorage() : new NoStorage());
    this.state = status.value;
    this.#api = new Api(baseUrl, options.getToken, fetchIt, () => this.#authRequired());
    const isShown = (id: string) => this.#resync.listsReadAt !== null || this.#handles.has(id);
    this.#entries = new Entries(this.#api, {
      isWanted: isShown,
      onMended: () => status.count('mended'),
    });
    this.#outbox = new Outbox(this.#api, this.#storage, {
      onChange: (id) => this.#entries.tell(id),
      onSent: (message) => this.#events.sent(message),
      onFailed: (message) => status.emit('messageFailed', { message }),
      onRetry: () => status.count('retries'),
      random,
    });
    const folder = (name: FolderName) => new Folder(name, this.#api, this.#entries);
    this.conversations = {
      inbox: folder('inbox'),
      requests: folder('requests'),
      sent: folder('sent'),
      archived: folder('archived'),
    };
    this.#folders = Object.values(this.conversations);
    this.#resync = new Resync(this.#api, this.#entries, this.#folders);
    for (const each of this.#folders) {
      each.subscribe(() => {
        if (each.getSnapshot().loading) this.#resync.listsReadAt ??= Date.now();
      });
    }
    this.#totals = new Totals(this.#api, this.#entries, this.conversations);
    this.unread = this.#totals;
    this.#reads = new Reads(this.#api, this.#entries, (unread) => this.#totals.told(unread));
    const isWatched = (id: string) => this.#entries.get(id).view !== null || isShown(id);
    this.#events = new Events(this.#entries, this.#outbox, this.#totals, status, isWatched);
    const url = `${baseUrl.replace(/^http/, 'ws')}/ws/chat`;
    this.#connection = new Connection(url, this.#api, openSocket, {
      onFrame: (frame) => this.#receive(frame),
      onWaiting: (retryAt) => this.#lost(retryAt),
      onConnecting: () => this.#reconnecting({ retryAt: null, code: null }),
      onEnd: (code) => this.#ended(code),
      random,
    });
    this.parts = {
      api: this.#api,
      entries: this.#entries,
      outbox: this.#outbox,
      reads: this.#reads,
      connection: this.#connection,
      status,
    };
  }

  /** Begins, or begins again after `authRequired`, `banned` and `closed`. */
  connect(): void {
    this.#listen('addEventListener');
    if (hasChannel() && this.#tabs === null) {
      this.#tabs = new BroadcastChannel(CHANNEL);
      this.#tabs.onmessage = ({ data }) => this.#signedOutElsewhere(data);
    }
    this.#connection.start();
    this.#entries.resume();
  }

  /** Ends the connection; unsent messages are kept. */
  disconnect(): void {
    this.#listen('removeEventListener');
    this.#tabs?.close();
    this.#tabs = null;
    this.#stop();
    void this.#reads.flush(true);
    this.#status.set({ phase: 'idle', retryAt: null, code: null });
  }

  /** Tries to connect now instead of at `retryAt`; when connected, sees whether the service still answers. */
  retryNow(): void {
    this.#connection.retryNow();
    this.#outbox.wake();
  }

  /**
   * Disconnects and wipes everything that is kept, also of earlier people on this browser. Other tabs of this person
   * wipe what they hold and ask for a sign-in.
   */
  async signOut(): Promise<void> {
    const { userId } = this.#status.get();
    this.disconnect();
    this.#api.endSession();
    this.#wipe();
    if (userId !== null && hasChannel()) {
      const channel = new BroadcastChannel(CHANNEL);
      channel.postMessage(userId);
      channel.close();
    }
    await this.#storage.clear();
  }

  /** Calls `listener` on each `event`; returns how to stop. */
  on<K extends keyof ChatEvents>(event: K, listener: (data: ChatEvents[K]) => void): () => void {
    return this.#status.on(event, listener);
  }

  /** The conversation with this id: the same object each time. */
  conversation(id: string): ChatConversation {
    let handle = this.#handles.get(id);
    if (handle === undefined) {
      handle = this.handleOf(id);
      this.#handles.set(id, handle);
    }
    return handle;
  }

  protected handleOf(id: string): ChatConversation {
    return new ChatConversation(id, this.parts);
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
    this.#events.rereadWith(userId);
  }

  // The connection

  readonly #onPage = ({ type }: Event): void => {
    if (type === 'offline') this.#connection.lost();
    else if (type === 'pagehide' || globalThis.document?.visibilityState === 'hidden') {
      void this.#reads.flush(true);
      // Online, or visible again: timers were slow, and after a sleep the other end may be gone.
    } else this.retryNow();
  };

  #listen(how: 'addEventListener' | 'removeEventListener'): void {
    // Workers have no document, and Node has neither.
    const page: Partial<typeof globalThis> = globalThis;
    for (const type of ['online', 'offline', 'pagehide']) page[how]?.(type, this.#onPage);
    page.document?.[how]('visibilitychange', this.#onPage);
  }

  #reconnecting(change: Partial<ClientState>): void {
    this.#welcome = null;
    const { connects } = this.#status.get().counts;
    this.#status.set({ phase: connects > 0 ? 'reconnecting' : 'connecting', ...change });
  }

  #lost(retryAt: number): void {
    const { phase, counts } = this.#status.get();
    const isLoss = phase === 'live' || phase === 'resumed' || phase === 'resync';
    const losses = counts.losses + Number(isLoss);
    this.#reconnecting({ retryAt, ...(isLoss && { counts: { ...counts, losses } }) });
  }

  #ended(code: number): void {
    if (code <= SESSION_REVOKED) return this.#authRequired(code);
    const isBanned = code === BANNED;
    if (isBanned) this.#stop(); // nothing of theirs is taken
    this.#welcome = null;
    this.#status.set({ phase: isBanned ? 'banned' : 'closed', code });
  }

  #stop(): void {
    this.#welcome = null;
    this.#connection.stop();
    this.#entries.stop();
    this.#outbox.stop();
    this.#totals.stop();
  }

  #authRequired(code: number | null = null): void {
    if (this.#status.get().phase === 'authRequired') return;
    this.#stop();
    this.#api.endSession();
    this.#status.count('authRequired');
    this.#status.set({ phase: 'authRequired', retryAt: null, code });
    this.#status.emit('authRequired', {});
  }

  #signedOutElsewhere(userId: unknown): void {
    if (userId !== this.#status.get().userId) return;
    this.#authRequired();
    this.#wipe();
    this.#storage.clear().catch(() => {
      // The tab that signed out clears it, too.
    });
  }

  /** Nothing of this person stays in memory. */
  #wipe(): void {
    this.#reads.clear();
    this.#outbox.clear();
    this.#entries.clear();
    this.#events.clear();
    this.#totals.reset();
    this.#resync.reset();
    for (const each of this.#folders) each.reset();
    for (const each of this.#handles.values()) each.getSnapshot();
    this.#connection.cursor = null;
    this.#status.set({ userId: null, counts: NO_COUNTS });
  }

  // What the server says

  #receive(frame: Frame): void {
    this.#status.emit('frame', frame);
    if (!this.#events.isNew(frame)) return this.#status.count('duplicates');
    this.#entries.moment += 1;
    if (frame.type === 'system.welcome') return this.#welcomed(frame.data as Welcome);
    if (frame.type === 'system.caught_up') return this.#caughtUp();
    this.#missed += 1;
    this.#events.happened(frame);
  }

  #welcomed(welcome: Welcome): void {
    const { userId, resumed, unread } = welcome;
    const before = this.#status.get().userId;
    if (before !== null && before !== userId) this.#changePerson();
    this.#welcome = welcome;
    this.#missed = 0;
    this.#entries.identify(userId);
    this.#status.count('connects');
    this.#totals.told(unread);
    if (resumed) this.#status.count('resumed');
    else if (this.#entries.ids().length > 0 || this.#resync.listsReadAt !== null)
      this.#status.count('resyncs');
    this.#resync.begin(welcome);
    this.#status.set({ phase: resumed ? 'resumed' : 'resync', userId, retryAt: null });
    void this.#outbox.open(userId);
    void this.#reads.flush();
  }

  /** Somebody else has signed in than before: lists that are shown are theirs from now on. */
  #changePerson(): void {
    const shown = this.#folders.filter((each) => {
      const { loaded, loading } = each.getSnapshot();
      return loaded || loading;
    });
    this.#wipe();
    for (const each of shown) void each.load();
  }

  #caughtUp(): void {
    const welcome = this.#welcome;
    if (welcome === null) return;
    if (welcome.resumed) this.#status.emit('resumed', { missed: this.#missed });
    else this.#status.emit('resync', { reason: welcome.reason ?? '' });
    void this.#catchUp(welcome, 0);
  }

  async #catchUp(welcome: Welcome, attempt: number): Promise<void> {
    let problem: unknown = null;
    await this.#resync.run().catch((error) => {
      ignoreProblem(error);
      problem = error;
    });
    if (this.#welcome !== welcome) return;
    // What could not be read now is read later: nobody has to wait for it.
    this.#status.set({ phase: 'live' });
    if (problem instanceof ChatProblem && problem.retryable) {
      await pause(delayBefore(attempt));
      if (this.#welcome === welcome) await this.#catchUp(welcome, attempt + 1);
    }
  }
}

function browserSocket(url: string, protocols: string[]): SocketLike {
  return new WebSocket(url, protocols) as unknown as SocketLike;
}
