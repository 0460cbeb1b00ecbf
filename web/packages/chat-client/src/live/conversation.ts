import { delayAfter } from '../backoff.js';
import type { Parts } from '../conversation.js';
import { ChatConversation, ChatProblem } from '../index.js';
import { type Store, Value } from '../store.js';

/** The service takes one in 2 s; on their way some catch up with those before them. */
const TYPING_EVERY_MS = 2_500;
const IDLE_AFTER_MS = 3_000;
/** The service ends it after 6 s. */
const TYPING_LAPSES_AFTER_MS = 7_000;

export interface LiveSnapshot {
  /** Who types, other than this person, in the order in which they began. */
  readonly typing: readonly string[];
  /** Whether the service tells who types and who is here. */
  readonly isOpen: boolean;
  /** Why it refuses to. What is worth it is tried again. */
  readonly error: ChatProblem | null;
}

export interface LiveHandlers {
  isUp(): boolean;
  /** Nothing of it is told any more. */
  onClosed(): void;
  onTyping(userId: string, typing: boolean): void;
}

const CLOSED: LiveSnapshot = { typing: [], isOpen: false, error: null };

/** A conversation that can be on screen: who of it is here, who types in it. */
export class LiveConversation extends ChatConversation {
  readonly #live = new Value(CLOSED);
  readonly live: Store<LiveSnapshot> = this.#live;
  readonly #typing = new Map<string, ReturnType<typeof setTimeout>>();
  #screens = 0;
  /** Of the latest `conversation.open`: answers to earlier ones are passed over. */
  #asked = {};
  #again: ReturnType<typeof setTimeout> | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #isTyping = false;
  #saidAt = 0;

  constructor(
    id: string,
    parts: Parts,
    private readonly handlers: LiveHandlers,
  ) {
    super(id, parts);
  }

  /** It is on screen: from now on, and after each reconnect, who types is told. Returns how to end that. */
  open(): () => void {
    this.#screens += 1;
    if (this.#screens === 1) this.#ask(0);
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      this.#screens -= 1;
      if (this.#screens === 0) this.#close();
    };
  }

  /** To be called with each change of what is being written: tells the others, at most every 2.5 s. */
  keystroke(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.stopTyping(), IDLE_AFTER_MS);
    if (Date.now() < this.#saidAt + TYPING_EVERY_MS || !this.#say('typing.started')) return;
    this.#isTyping = true;
    this.#saidAt = Date.now();
  }

  /** Nothing is being written any more; comes by itself after 3 s without a `keystroke`, and with `send`. */
  stopTyping(): void {
    clearTimeout(this.#idle);
    if (this.#isTyping) this.#say('typing.stopped');
    this.#isTyping = false;
  }

  override send(text: string, options: { replyToId?: string } = {}): string {
    const key = super.send(text, options);
    this.stopTyping();
    return key;
  }

  /** For the client: the connection came, or is gone. */
  setUp(isUp: boolean): void {
    if (isUp) return this.#ask(0);
    this.#isTyping = false;
    this.#saidAt = 0;
    this.#end();
  }

  /** For the client: somebody began or stopped. */
  typed(userId: string, isTyping: boolean): void {
    const before = this.#typing.get(userId);
    clearTimeout(before);
    if (isTyping) {
      if (this.#screens === 0 || userId === this.parts.entries.me) return;
      const lapse = () => this.typed(userId, false);
      this.#typing.set(userId, setTimeout(lapse, TYPING_LAPSES_AFTER_MS));
    } else this.#typing.delete(userId);
    if ((before !== undefined) === isTyping) return;
    this.#set({ typing: [...this.#typing.keys()] });
    this.handlers.onTyping(userId, isTyping);
  }

  #say(type: string): boolean {
    return this.handlers.isUp() && this.parts.connection.say({ type, conversationId: this.id });
  }

  #ask(attempt: number): void {
    if (this.#screens === 0 || !this.handlers.isUp()) return;
    const asked = {};
    this.#asked = asked;
    this.parts.connection.ask({ type: 'conversation.open', conversationId: this.id }, (answer) => {
      if (asked !== this.#asked) return;
      if (answer.type === 'ack') return this.#set({ isOpen: true, error: null });
      const error = new ChatProblem(answer.problem as ConstructorParameters<typeof ChatProblem>[0]);
      this.#set({ error });
      if (error.retryable) {
        this.#again = setTimeout(() => this.#ask(attempt + 1), delayAfter(error, attempt));
      }
    });
  }

  #close(): void {
    this.stopTyping();
    this.#end();
    if (!this.handlers.isUp()) return;
    const frame = { type: 'conversation.close', conversationId: this.id };
    this.parts.connection.ask(frame, () => this.handlers.onClosed());
  }

  #end(): void {
    this.#asked = {};
    clearTimeout(this.#again);
    for (const userId of this.#typing.keys()) this.typed(userId, false);
    this.#live.set(CLOSED);
  }

  #set(change: Partial<LiveSnapshot>): void {
    this.#live.set({ ...this.#live.getSnapshot(), ...change });
  }
}
