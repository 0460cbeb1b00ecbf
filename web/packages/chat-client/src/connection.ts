import type { Api } from './api.js';
import { delayBefore, LONGEST_TIMER_MS, newKey } from './backoff.js';
import { UnauthorizedError } from './problem.js';
import type { Frame, Welcome } from './types.js';

/** A server that is there has said something by then: the welcome, or that a token is taken. */
const ANSWER_WITHIN_MS = 10_000;
const REFRESH_BEFORE_MS = 60_000;
const REFRESH_AGAIN_MS = 10_000;

/** The little of a WebSocket that is used. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

/** A frame of a client's; without an `id` it is answered only when it is refused. */
export interface Saying {
  type: string;
  id?: string;
  token?: string;
  conversationId?: string;
  status?: 'online' | 'away';
}

export type OpenSocket = (url: string, protocols: string[]) => SocketLike;

export interface ConnectionHandlers {
  onFrame(frame: Frame): void;
  /** `retryAt`: Unix milliseconds of the next attempt. */
  onWaiting(retryAt: number): void;
  onConnecting(): void;
  /** It will not come back by itself. */
  onEnd(code: number): void;
  random(): number;
}

/** One WebSocket that comes back by itself, and keeps its token fresh. */
export class Connection {
  /** Where the events stand; null: nothing to resume from. */
  cursor: string | null = null;
  #socket: SocketLike | null = null;
  #attempt = 0;
  #generation = 0;
  #running = false;
  #busy = false;
  #isWelcome = false;
  #forceRefresh = false;
  #goawayMs: number | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #answerTimer: ReturnType<typeof setTimeout> | undefined;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #asked = new Map<string, (answer: Frame) => void>();
  #clockOffset = 0;

  constructor(
    private readonly url: string,
    private readonly api: Api,
    private readonly openSocket: OpenSocket,
    private readonly handlers: ConnectionHandlers,
  ) {}

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#attempt = 0;
    this.#forceRefresh = false;
    void this.#connect();
  }

  stop(): void {
    this.#running = false;
    this.#drop(1000);
  }

  /** Tries now instead of later; while it is connected, sees whether the other end is still there. */
  retryNow(): void {
    if (!this.#running || this.#busy) return;
    if (this.#isWelcome) return void this.#refresh(this.#generation, false);
    this.#drop(1000);
    this.#attempt = 0;
    void this.#connect();
  }

  /** The network is gone: a close over it may take its time, so it is not waited for. */
  lost(): void {
    if (this.#running && this.#socket) this.#closed(this.#generation, 1006);
  }

  /** False when nobody is there to hear it. */
  say(frame: Saying): boolean {
    if (this.#isWelcome) this.#socket?.send(JSON.stringify(frame));
    return this.#isWelcome;
  }

  /** `onAnswer` is told the `ack` or `error`, unless nobody is there or the connection ends before. */
  ask(frame: Saying, onAnswer: (answer: Frame) => void): void {
    const id = newKey();
    if (!this.say({ ...frame, id })) return;
    this.#asked.set(id, onAnswer);
    this.#expectAnswer(this.#generation);
  }

  async #connect(): Promise<void> {
    clearTimeout(this.#timer);
    this.#busy = true;
    this.#generation += 1;
    const mine = this.#generation;
    this.handlers.onConnecting();
    let token: string;
    try {
      token = await (this.#forceRefresh ? this.api.refreshToken() : this.api.token());
    } catch (error) {
      if (mine !== this.#generation) return;
      this.#busy = false;
      if (error instanceof UnauthorizedError) this.#running = false;
      else this.#later();
      return;
    }
    if (mine !== this.#generation || !this.#running) return;
    this.#busy = false;
    const resume = this.cursor === null ? '' : `?cursor=${encodeURIComponent(this.cursor)}`;
    let socket: SocketLike;
    try {
      socket = this.openSocket(`${this.url}${resume}`, ['chat.v1', `bearer.${token}`]);
    } catch {
      return this.#later();
    }
    this.#socket = socket;
    this.#expectAnswer(mine);
    socket.onmessage = ({ data }) => this.#receive(mine, data);
    socket.onclose = ({ code }) => this.#closed(mine, code);
    socket.onerror = () => {
      // A close follows, and says all that there is to know.
    };
  }

  #expectAnswer(generation: number): void {
    // Asking again gives no more time.
    this.#answerTimer ??= setTimeout(() => this.#closed(generation, 1006), ANSWER_WITHIN_MS);
  }

  #answered(): void {
    clearTimeout(this.#answerTimer);
    this.#answerTimer = undefined;
  }

  #receive(generation: number, data: unknown): void {
    if (generation !== this.#generation) return;
    this.#answered();
    let frame: Frame;
    try {
      frame = JSON.parse(String(data)) as Frame;
    } catch {
      return this.#closed(generation, 1007); // come back and start over
    }
    if (frame.type === 'system.welcome') this.#welcomed(frame.data as Welcome);
    if (frame.type === 'system.goaway') {
      this.#goawayMs = (frame.data as { reconnectInMs: number }).reconnectInMs;
    }
    const { replyTo = '' } = frame;
    this.#asked.get(replyTo)?.(frame);
    this.#asked.delete(replyTo);
    this.handlers.onFrame(frame);
    // Now that it has been taken in; and unless that ended this connection, and perhaps the session.
    if (generation === this.#generation && frame.cursor !== undefined) this.cursor = frame.cursor;
  }

  #welcomed(welcome: Welcome): void {
    this.#isWelcome = true;
    this.#attempt = 0;
    this.#forceRefresh = false;
    this.#goawayMs = null;
    if (!welcome.resumed) this.cursor = null;
    this.#clockOffset = Date.parse(welcome.serverTime) - Date.now();
    this.#refreshAt(welcome.expiresAt);
  }

  #refreshAt(expiresAt: string): void {
    const left = Date.parse(expiresAt) - this.#clockOffset - Date.now();
    // A token that lives for less than two minutes is renewed half-way.
    const wait = left - Math.min(REFRESH_BEFORE_MS, left / 2);
    this.#refreshIn(Math.min(Math.max(wait, 1000), LONGEST_TIMER_MS));
  }

  #refreshIn(ms: number): void {
    clearTimeout(this.#refreshTimer);
    const generation = this.#generation;
    this.#refreshTimer = setTimeout(() => void this.#refresh(generation), ms);
  }

  async #refresh(generation: number, forceRefresh = true): Promise<void> {
    try {
      const token = await (forceRefresh ? this.api.refreshToken() : this.api.token());
      if (generation !== this.#generation) return;
      this.ask({ type: 'auth.refresh', token }, ({ type, data }) => {
        if (type === 'ack') this.#refreshAt((data as { expiresAt: string }).expiresAt);
        else this.#refreshIn(REFRESH_AGAIN_MS);
      });
    } catch (error) {
      if (error instanceof UnauthorizedError || generation !== this.#generation) return;
      // Until it expires there is time to try again; after that the server closes, and we come back.
      this.#refreshIn(REFRESH_AGAIN_MS);
    }
  }

  #closed(generation: number, code: number): void {
    if (generation !== this.#generation) return;
    this.#drop(1000);
    const triedFresh = this.#forceRefresh;
    if (code === 4001 || code === 4500) this.#forceRefresh = true;
    if (code >= 4500 && code < 5000 && (code !== 4500 || triedFresh)) {
      this.#running = false;
      this.handlers.onEnd(code);
    } else if (this.#running) {
      this.#later();
    }
  }

  #later(): void {
    const delay = this.#goawayMs ?? delayBefore(this.#attempt, this.handlers.random);
    this.#goawayMs = null;
    this.#attempt += 1;
    this.handlers.onWaiting(Date.now() + delay);
    this.#timer = setTimeout(() => void this.#connect(), delay);
  }

  #drop(code: number): void {
    this.#generation += 1;
    this.#busy = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#refreshTimer);
    this.#answered();
    this.#isWelcome = false;
    this.#asked.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close(code);
  }
}
