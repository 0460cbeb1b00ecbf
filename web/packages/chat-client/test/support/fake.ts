// A small chat service in memory that speaks the contract: REST by `fetchAs`, sockets by `openAs`. What is sent to
// a socket can be held back, doubled, shuffled or lost, and the events of the past can be forgotten.

import type { Frame } from '../../src/index.js';
import { FakeLive } from './fake-live.js';
import { FakeSocket } from './fake-socket.js';
import { iso, Refused, type Talk } from './fake-talks.js';

export { FakeSocket } from './fake-socket.js';

interface Kept {
  id: number;
  type: string;
  eventId: string;
  talk: Talk | null;
  data: unknown;
  at: string;
}

export interface Call {
  method: string;
  path: string;
  body: Record<string, unknown>;
}

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

export class FakeChat extends FakeLive {
  readonly calls: Call[] = [];
  /** Of each opened socket, in order. */
  readonly opened: FakeSocket[] = [];
  /** An answer in place of the service's: a status, or `network`. */
  fault: ((call: Call) => number | 'network' | undefined) | null = null;
  /** What becomes of a frame on its way. */
  delivery: () => 'now' | 'twice' | 'late' | 'lost' = () => 'now';
  /** How long answers take, in milliseconds. */
  latency: () => number = () => 0;
  tokenLifeMs = 3_600_000;
  /** How far the service's clock is ahead of the client's. */
  skewMs = 0;
  accepting = true;
  closeWith: number | null = null;
  private streams = new Map<string, Kept[]>();
  private forgottenUpTo = 0;

  expiresAt = (): string => iso(Date.now() + this.skewMs + this.tokenLifeMs);

  /** Events of the past are gone. */
  flush(): void {
    this.streams = new Map();
    this.forgottenUpTo = this.counter + 1;
  }

  /** The last event of somebody's past is gone, and those before it are not. */
  loseLast(userId: string): void {
    this.streams.get(userId)?.pop();
  }

  cut(userId: string, code = 1006): void {
    for (const socket of [...this.sockets]) if (socket.userId === userId) socket.end(code);
  }

  flushLate(): void {
    for (const socket of this.sockets) socket.flushLate();
  }

  // Sockets

  openAs =
    (userId: string) =>
    (url: string, protocols: string[]): FakeSocket => {
      const socket = new FakeSocket(this, userId, url, protocols);
      this.opened.push(socket);
      setTimeout(() => this.accept(socket), this.latency());
      return socket;
    };

  private accept(socket: FakeSocket): void {
    if (socket.closed) return;
    if (!this.accepting) return socket.end(1006);
    if (this.closeWith !== null) return socket.end(this.closeWith);
    const { userId } = socket;
    this.sockets.add(socket);
    const cursor = new URL(socket.url).searchParams.get('cursor');
    const stream = this.streams.get(userId) ?? [];
    const [position, at] = (cursor ?? '-1').split('@').map(Number) as [number, number];
    const resumed = position >= this.forgottenUpTo;
    socket.tell({
      type: 'system.welcome',
      eventId: this.id('w'),
      ...(resumed ? {} : { cursor: this.cursor(this.counter) }),
      data: {
        connectionId: this.id('c'),
        userId,
        resumed,
        ...(resumed ? {} : { reason: cursor === null ? 'no_cursor' : 'cursor_unknown' }),
        serverTime: iso(Date.now() + this.skewMs),
        pingMs: 25_000,
        expiresAt: this.expiresAt(),
        unread: this.unread(userId),
        watchList: this.watchList(userId)
          .filter((each) => !resumed || Date.parse(each.changedAt) > at - 60_000)
          .map((each) => ({ ...each, changedAt: iso(Date.parse(each.changedAt) + this.skewMs) }))
          .slice(0, 200),
      },
    });
    if (resumed) {
      for (const kept of stream) if (kept.id > position) socket.tell(this.render(kept, userId));
    }
    socket.tell({
      type: 'system.caught_up',
      eventId: this.id('u'),
      cursor: this.cursor(this.counter),
      data: {},
    });
  }

  private cursor(position: number, at = Date.now()): string {
    return `${position}@${at}`;
  }

  protected publish(type: string, talk: Talk | null, userIds: string[], data: unknown = null): void {
    const eventId = this.id('e');
    for (const userId of userIds) {
      const stream = this.streams.get(userId) ?? [];
      this.streams.set(userId, stream);
      this.counter += 1;
      const kept = { id: this.counter, type, eventId, talk, data, at: iso() };
      stream.push(kept);
      for (const socket of [...this.sockets]) if (socket.userId === userId) this.deliver(socket, kept);
    }
  }

  private deliver(socket: FakeSocket, kept: Kept): void {
    const way = this.delivery();
    const frame = this.render(kept, socket.userId);
    if (way === 'lost') return;
    // What `conversation.*` carries is put together for the receiver at the moment of delivery.
    const isJoined = kept.type.startsWith('conversation.');
    if (way === 'late') socket.late.push(() => (isJoined ? this.render(kept, socket.userId) : frame));
    else socket.tell(frame);
    if (way === 'twice') socket.tell(frame);
  }

  private render(kept: Kept, userId: string): Frame {
    const { type, talk, eventId, id, at } = kept;
    let { data } = kept;
    if (type.startsWith('conversation.') && talk) data = this.event(talk, userId);
    if (type.startsWith('message.') && talk) {
      data = { message: talk.messages.find((each) => each.id === data) };
    }
    const conversationId = talk ? { conversationId: talk.id } : {};
    return copy({
      type,
      eventId,
      eventVersion: 1,
      occurredAt: at,
      cursor: this.cursor(id, Date.parse(at)),
      ...conversationId,
      data,
    });
  }

  // REST

  fetchAs = (userId: string): typeof fetch =>
    (async (input: string | URL, init: RequestInit = {}) => {
      const url = new URL(String(input));
      const method = init.method ?? 'GET';
      const body = init.body ? (JSON.parse(String(init.body)) as Record<string, unknown>) : {};
      const call = { method, path: `${url.pathname}${url.search}`, body };
      this.calls.push(call);
      const wait = this.latency();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait / 2));
      const fault = this.fault?.(call);
      if (fault === 'network') throw new TypeError('network');
      let answer: Response;
      try {
        if (typeof fault === 'number') throw new Refused(fault, 'fault');
        const said = copy(this.route(userId, method, url, body) ?? null);
        answer = said === null ? new Response(null, { status: 204 }) : Response.json(said);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const { status, code } = error;
        answer = Response.json({ status, code, title: code, detail: code }, { status });
      }
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait / 2));
      return answer;
    }) as typeof fetch;

  private route(userId: string, method: string, url: URL, body: Record<string, unknown>): unknown {
    const parts = url.pathname.split('/').slice(2).map(decodeURIComponent);
    const query = url.searchParams;
    const [head, id = '', what, messageId] = parts;
    if (head === 'me') {
      return {
        user: this.user(userId),
        unread: this.unread(userId),
        limits: {},
        settings: { readReceipts: true, typingIndicators: true, presence: true },
      };
    }
    if (head === 'watch-list') {
      const [from, limit] = [Number(query.get('cursor') ?? 0), Number(query.get('limit'))];
      const all = this.watchList(userId);
      const nextCursor = from + limit < all.length ? String(from + limit) : null;
      return { items: all.slice(from, from + limit), nextCursor };
    }
    if (head === 'presence') {
      const parted = query.getAll('userIds').flatMap((each) => each.split(','));
      return this.presence(userId, [...parted, ...query.getAll('userId')]);
    }
    if (head === 'blocks') return this.block(userId, id, method === 'PUT');
    if (head !== 'conversations') throw new Refused(404, 'not_found');
    if (id === '' && method === 'POST') {
      const message = body.message as { clientMessageId: string; text: string };
      return this.start(userId, String(body.recipientId), message.text, message.clientMessageId);
    }
    if (id === '') return this.folder(userId, query);
    const talk = this.talk(id, userId);
    if (what === undefined && method === 'GET') return this.view(talk, userId);
    if (what === undefined) return this.setFlags(userId, id, body);
    if (what === 'read') return this.read(userId, id, Number(body.lastReadSeq));
    if (what === 'accept' || what === 'decline' || what === 'withdraw') return this.answer(userId, id, what);
    if (what === 'changes') {
      const after = Number(query.get('after'));
      const items = talk.messages
        .filter((each) => each.changeSeq > after)
        .sort((a, b) => a.changeSeq - b.changeSeq);
      const limit = Number(query.get('limit'));
      return { items: items.slice(0, limit), hasMore: items.length > limit };
    }
    if (messageId !== undefined) {
      return method === 'PATCH'
        ? this.edit(userId, id, messageId, String(body.text))
        : this.redact(userId, id, messageId);
    }
    if (method === 'POST') {
      return this.send(userId, id, String(body.text), String(body.clientMessageId), body.replyToId as string);
    }
    const limit = Number(query.get('limit'));
    const before = Number(query.get('beforeSeq') ?? Number.POSITIVE_INFINITY);
    const all = talk.messages.filter((each) => each.seq < before);
    const items = all.slice(Math.max(0, all.length - limit));
    return { items, hasOlder: all.length > items.length, hasNewer: false };
  }
}
