import {
  ChatClient,
  type ChatClientOptions,
  type ClientState,
  type Frame,
  type Message,
  type Presence,
  type Store,
} from '../index.js';
import { Activity, type WatchPage, watchPage } from './activity.js';
import { LiveConversation, type LiveHandlers } from './conversation.js';
import { Presences } from './presences.js';

export interface LiveClientOptions extends ChatClientOptions {
  /** Away when the page has been hidden for as long; 60 s when left out. */
  awayWhenHiddenMs?: number;
  /** Away when nobody has touched anything for as long; 5 min when left out. */
  awayWhenIdleMs?: number;
  /** For how long the service takes a silent connection for somebody's presence; 90 s when left out. */
  presenceTtlMs?: number;
  /** Tells what is done with the page; the browser's own events when left out. */
  watchPage?: WatchPage;
}

/** The chat of one signed-in person, with who is here and who types. */
export class LiveClient extends ChatClient {
  readonly #presences: Presences;
  readonly #activity: Activity;
  readonly #watchPage: WatchPage;
  readonly #talks = new Map<string, LiveConversation>();
  readonly #handlersOf: (id: string) => LiveHandlers;
  #isUp = false;
  #userId: string | null = null;
  #unwatch: (() => void) | null = null;

  constructor(options: LiveClientOptions) {
    super(options);
    const { awayWhenHiddenMs = 60_000, awayWhenIdleMs = 300_000, presenceTtlMs = 90_000 } = options;
    const { random = Math.random } = options;
    const { api, connection, status } = this.parts;
    this.#presences = new Presences(api, {
      presenceTtlMs,
      onChange: (presence) => status.emit('presence', presence),
      random,
    });
    this.#activity = new Activity(connection, { awayWhenHiddenMs, awayWhenIdleMs, random });
    this.#watchPage = options.watchPage ?? watchPage;
    this.#handlersOf = (conversationId) => ({
      isUp: () => this.#isUp,
      onClosed: () => this.#presences.letGo(),
      onTyping: (userId, typing) => status.emit('typing', { conversationId, userId, typing }),
    });
    this.on('state', (state) => this.#changed(state));
    this.on('frame', (frame) => this.#heard(frame));
  }

  override connect(): void {
    this.#unwatch ??= this.#watchPage((doing) => {
      this.#activity.report(doing);
      if (doing !== 'input') this.#presences.setHidden(doing === 'hidden');
    });
    super.connect();
  }

  override disconnect(): void {
    this.#unwatch?.();
    this.#unwatch = null;
    super.disconnect();
  }

  /** Whether somebody is here; offline while not known. The same store each time; asked for while it is watched. */
  presence(userId: string): Store<Presence> {
    return this.#presences.of(userId);
  }

  override conversation(id: string): LiveConversation {
    return super.conversation(id) as LiveConversation;
  }

  override async start(what: Parameters<ChatClient['start']>[0]): Promise<LiveConversation> {
    return (await super.start(what)) as LiveConversation;
  }

  protected override handleOf(id: string): LiveConversation {
    const talk = new LiveConversation(id, this.parts, this.#handlersOf(id));
    this.#talks.set(id, talk);
    return talk;
  }

  #changed({ phase, userId }: ClientState): void {
    if (userId !== this.#userId) {
      this.#userId = userId;
      this.#presences.clear();
    }
    const isUp = phase === 'resumed' || phase === 'resync' || phase === 'live';
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    this.#activity.setUp(isUp);
    this.#presences.setUp(isUp);
    for (const talk of this.#talks.values()) talk.setUp(isUp);
  }

  #heard({ type, conversationId = '', data }: Frame): void {
    const talk = this.#talks.get(conversationId);
    switch (type) {
      case 'presence.updated':
        return this.#presences.told(data as Presence);
      case 'typing.started':
      case 'typing.stopped':
        return talk?.typed((data as { userId: string }).userId, type === 'typing.started');
      case 'message.created':
        // What was being written is there.
        return talk?.typed((data as { message: Message }).message.senderId, false);
    }
  }
}
