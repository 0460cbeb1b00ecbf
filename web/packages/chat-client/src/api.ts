import { delayAfter, LONGEST_DELAY_MS, pause } from './backoff.js';
import { ChatProblem, UnauthorizedError } from './problem.js';
import type {
  Context,
  Conversation,
  FolderName,
  Me,
  Message,
  MessagePage,
  Page,
  ReadMark,
  WatchItem,
} from './types.js';

const TIMEOUT_MS = 15_000;

/** Returns a token of the signed-in person; `forceRefresh`: not one that was returned before. */
export type GetToken = (options: { forceRefresh: boolean }) => Promise<string>;

export interface NewMessage {
  clientMessageId: string;
  text: string;
  replyToId?: string;
}

interface RequestOptions {
  /** How often in all, while the answer is worth repeating. */
  attempts?: number;
  /** Outlives the page. */
  keepalive?: boolean;
}

const in_ = (id: string) => `/conversations/${encodeURIComponent(id)}`;
const from = (cursor: string | null) => (cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`);

/** The routes of the contract. All throw ChatProblem, or UnauthorizedError when there is no session. */
export class Api {
  #refreshing: Promise<string> | null = null;
  #session = {};

  constructor(
    private readonly baseUrl: string,
    private readonly getToken: GetToken,
    private readonly fetchIt: typeof fetch,
    private readonly onUnauthorized: () => void,
  ) {}

  /** Whatever is underway ends with UnauthorizedError: its answer is not for whoever signs in next. */
  endSession(): void {
    this.#session = {};
    this.#refreshing = null;
  }

  /** A fresh token; those who ask meanwhile share it. */
  refreshToken(): Promise<string> {
    this.#refreshing ??= this.token(true).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async token(forceRefresh = false): Promise<string> {
    const session = this.#session;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const never = new Promise<never>((_, reject) => {
      timer = setTimeout(reject, TIMEOUT_MS);
    });
    try {
      return await Promise.race([this.getToken({ forceRefresh }), never]);
    } catch (error) {
      if (error instanceof UnauthorizedError) {
        if (session === this.#session) this.onUnauthorized();
        throw error;
      }
      throw new ChatProblem({ code: 'network', detail: 'No token could be had.' });
    } finally {
      clearTimeout(timer);
    }
  }

  async exchange<T>(method: string, path: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
    const { attempts = 3, keepalive = false } = options;
    const session = this.#session;
    const checkSession = () => {
      if (session !== this.#session) throw new UnauthorizedError();
    };
    let wasRefused = false;
    for (let attempt = 0; ; ) {
      try {
        const token = await (wasRefused ? this.refreshToken() : this.token());
        checkSession();
        const answer = await this.#attempt<T>(method, path, body, token, keepalive);
        checkSession();
        return answer;
      } catch (error) {
        checkSession();
        if (!(error instanceof ChatProblem)) throw error;
        if (error.status === 401) {
          if (wasRefused) {
            this.onUnauthorized(); // a fresh token is refused, too
            throw new UnauthorizedError();
          }
          wasRefused = true;
          continue;
        }
        const wait = delayAfter(error, attempt);
        attempt += 1;
        if (!error.retryable || attempt >= attempts || wait > LONGEST_DELAY_MS) throw error;
        await pause(wait);
        checkSession();
      }
    }
  }

  async #attempt<T>(
    method: string,
    path: string,
    body: unknown,
    token: string,
    keepalive: boolean,
  ): Promise<T> {
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(), TIMEOUT_MS);
    try {
      const response = await this.fetchIt(`${this.baseUrl}/v1${path}`, {
        method,
        headers,
        keepalive,
        signal: given.signal,
        body: JSON.stringify(body), // undefined of undefined
      });
      if (!response.ok) throw await ChatProblem.of(response);
      return (response.status === 204 ? null : await response.json()) as T;
    } catch (error) {
      if (error instanceof ChatProblem) throw error;
      // No answer, half of one, or one of somebody in between: a captive portal's page.
      throw new ChatProblem({ code: 'network', detail: 'The service cannot be reached.' });
    } finally {
      clearTimeout(timer);
    }
  }

  me = () => this.exchange<Me>('GET', '/me');

  conversation = (id: string) => this.exchange<Conversation>('GET', in_(id));

  folder(name: FolderName, limit: number, cursor: string | null) {
    const path = `/conversations?folder=${name}&limit=${limit}${from(cursor)}`;
    return this.exchange<Page<Conversation>>('GET', path);
  }

  watchList(cursor: string | null) {
    return this.exchange<Page<WatchItem>>('GET', `/watch-list?limit=100${from(cursor)}`);
  }

  messages(id: string, limit: number, beforeSeq?: number) {
    const before = beforeSeq === undefined ? '' : `&beforeSeq=${beforeSeq}`;
    return this.exchange<MessagePage>('GET', `${in_(id)}/messages?limit=${limit}${before}`);
  }

  changes(id: string, after: number, limit: number) {
    return this.exchange<{ items: Message[]; hasMore: boolean }>(
      'GET',
      `${in_(id)}/changes?after=${after}&limit=${limit}`,
    );
  }

  /** One attempt: the outbox repeats it. */
  send(id: string, message: NewMessage) {
    return this.exchange<Message>('POST', `${in_(id)}/messages`, message, { attempts: 1 });
  }

  start(recipientId: string, context: Context | undefined, message: NewMessage) {
    const body = { recipientId, ...(context && { context }), message };
    return this.exchange<{ conversation: Conversation; message: Message }>('POST', '/conversations', body);
  }

  edit(id: string, messageId: string, text: string) {
    return this.exchange<Message>('PATCH', `${in_(id)}/messages/${encodeURIComponent(messageId)}`, { text });
  }

  redact(id: string, messageId: string) {
    return this.exchange<Message | null>('DELETE', `${in_(id)}/messages/${encodeURIComponent(messageId)}`);
  }

  read(id: string, lastReadSeq: number, keepalive: boolean) {
    return this.exchange<ReadMark>('PUT', `${in_(id)}/read`, { lastReadSeq }, { keepalive });
  }

  answer(id: string, verb: 'accept' | 'decline' | 'withdraw', body: object = {}) {
    return this.exchange<Conversation>('POST', `${in_(id)}/${verb}`, body);
  }

  setFlags(id: string, flags: { muted?: boolean; archived?: boolean }) {
    return this.exchange<Conversation>('PATCH', in_(id), flags);
  }

  setBlocked(userId: string, blocked: boolean) {
    return this.exchange<null>(blocked ? 'PUT' : 'DELETE', `/blocks/${encodeURIComponent(userId)}`);
  }
}
