// A small chat service in memory that speaks the contract: REST by `fetchAs`, sockets by `openAs`. What is sent to
// a socket can be held back, doubled, shuffled or lost, and the events of the past can be forgotten.

import type {
  Conversation,
  ConversationChange,
  ConversationState,
  FolderName,
  Frame,
  Message,
  SocketLike,
  Unread,
  User,
  WatchItem,
} from '../../src/index.js';

interface Member {
  user: User;
  lastReadSeq: number;
  muted: boolean;
  archived: boolean;
  version: number;
  state: ConversationState;
  changedAt: number;
}

interface Talk {
  id: string;
  initiatorId: string;
  state: ConversationState;
  messages: Message[];
  lastChange: number;
  members: Member[];
  createdAt: string;
  updatedAt: Map<string, string>;
}

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

const iso = (at = Date.now()): string => new Date(at).toISOString();
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code);
  }
}

export class FakeSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly said: Frame[] = [];
  readonly late: (() => Frame)[] = [];
  closed = false;

  constructor(
    private readonly server: FakeChat,
    readonly userId: string,
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(data: string): void {
    const frame = JSON.parse(data) as Frame & { id?: string; token?: string };
    this.said.push(frame);
    if (frame.type === 'auth.refresh') {
      this.tell({ type: 'ack', replyTo: frame.id, data: { expiresAt: this.server.expiresAt() } } as Frame);
    }
  }

  close(): void {
    this.closed = true;
    this.server.sockets.delete(this);
  }

  /** The server, or the network, ends it. */
  end(code = 1006): void {
    if (this.closed) return;
    this.close();
    this.onclose?.({ code });
  }

  tell(frame: Frame): void {
    if (!this.closed) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  flushLate(): void {
    for (const frame of this.late.splice(0)) this.tell(frame());
  }
}

export class FakeChat {
  readonly talks = new Map<string, Talk>();
  readonly users = new Map<string, User>();
  readonly blocks = new Set<string>();
  readonly sockets = new Set<FakeSocket>();
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
  accepting = true;
  closeWith: number | null = null;
  withChangeSeq = true;
  private streams = new Map<string, Kept[]>();
  private counter = 0;

  expiresAt = (): string => iso(Date.now() + this.tokenLifeMs);

  user(id: string, role: User['role'] = 'recruiter'): User {
    let known = this.users.get(id);
    if (known === undefined) {
      known = { id, displayName: id, avatarUrl: null, role, orgId: null, orgName: null, orgVerified: false };
      this.users.set(id, known);
    }
    return known;
  }

  /** Events of the past are gone. */
  flush(): void {
    this.streams = new Map();
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
    const at = cursor === null ? -1 : stream.findIndex((each) => String(each.id) === cursor);
    const resumed = at >= 0;
    const since = resumed ? Date.parse((stream[at] as Kept).at) - 60_000 : 0;
    socket.tell({
      type: 'system.welcome',
      eventId: this.id('w'),
      data: {
        connectionId: this.id('c'),
        userId,
        resumed,
        ...(resumed ? {} : { reason: cursor === null ? 'no_cursor' : 'cursor_unknown' }),
        serverTime: iso(),
        pingMs: 25_000,
        expiresAt: this.expiresAt(),
        unread: this.unread(userId),
        watchList: this.watchList(userId)
          .filter((each) => Date.parse(each.changedAt) > since)
          .slice(0, 200),
      },
    });
    if (resumed) for (const kept of stream.slice(at + 1)) socket.tell(this.render(kept, userId));
    socket.tell({ type: 'system.caught_up', eventId: this.id('u'), data: {} });
  }

  private publish(type: string, talk: Talk | null, userIds: string[], data: unknown = null): void {
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
      cursor: String(id),
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
        settings: { readReceipts: true },
      };
    }
    if (head === 'watch-list') return { items: this.watchList(userId), nextCursor: null };
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
      return { items: items.slice(0, Number(query.get('limit'))), hasMore: false };
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

  // What people do

  start(userId: string, otherId: string, text: string, key = this.id('k')) {
    const known = [...this.talks.values()].find((each) =>
      [userId, otherId].every((id) => each.members.some((one) => one.user.id === id)),
    );
    if (known) {
      const message = this.send(userId, known.id, text, key);
      return { conversation: this.view(known, userId), message };
    }
    const member = (id: string): Member => ({
      user: this.user(id),
      lastReadSeq: 0,
      muted: false,
      archived: false,
      version: 1,
      state: 'request',
      changedAt: Date.now(),
    });
    const talk: Talk = {
      id: `t${String(this.talks.size + 1).padStart(4, '0')}`,
      initiatorId: userId,
      state: 'request',
      messages: [],
      lastChange: 0,
      members: [member(userId), member(otherId)],
      createdAt: iso(),
      updatedAt: new Map([
        [userId, iso()],
        [otherId, iso()],
      ]),
    };
    this.talks.set(talk.id, talk);
    const message = this.store(talk, userId, text, key);
    this.publish('conversation.requested', talk, [userId, otherId]);
    this.publish('message.created', talk, [userId, otherId], message.id);
    return { conversation: this.view(talk, userId), message };
  }

  send(
    userId: string,
    id: string,
    text: string,
    key = this.id('k'),
    replyToId: string | null = null,
  ): Message {
    const talk = this.talk(id, userId);
    const known = talk.messages.find((each) => each.senderId === userId && each.clientMessageId === key);
    if (known) return known;
    if (talk.state === 'request' && talk.initiatorId === userId) throw new Refused(409, 'request_pending');
    if (talk.state === 'request') this.answer(userId, id, 'accept');
    if (talk.state !== 'active') throw new Refused(409, 'request_closed');
    if (this.isBlocked(talk)) throw new Refused(403, 'undeliverable');
    const message = this.store(talk, userId, text, key, replyToId);
    this.publish('message.created', talk, ids(talk), message.id);
    return message;
  }

  edit(userId: string, id: string, messageId: string, text: string): Message {
    const talk = this.talk(id, userId);
    const message = this.message(talk, messageId, userId);
    if (message.redactedAt !== null) throw new Refused(409, 'request_closed');
    return this.changeMessage(talk, { ...message, text, editedAt: iso() });
  }

  redact(userId: string, id: string, messageId: string): Message {
    const talk = this.talk(id, userId);
    const message = this.message(talk, messageId, userId);
    if (message.redactedAt !== null) return message;
    return this.changeMessage(talk, { ...message, text: '', redactedAt: iso(), redactedBy: userId });
  }

  read(userId: string, id: string, seq: number) {
    const talk = this.talk(id, userId);
    const member = of(talk, userId);
    const to = Math.min(seq, talk.messages.length);
    if (to > member.lastReadSeq) {
      member.lastReadSeq = to;
      member.changedAt = Date.now();
      this.publish('conversation.updated', talk, [userId]);
      if (talk.state === 'active') {
        const others = ids(talk).filter((each) => each !== userId);
        for (const each of others) of(talk, each).changedAt = Date.now();
        this.publish('read.receipt', talk, others, { userId, lastReadSeq: to, at: iso() });
      }
    }
    const { lastReadSeq } = member;
    return { lastReadSeq, unreadCount: this.unreadIn(talk, userId), unread: this.unread(userId) };
  }

  answer(userId: string, id: string, verb: 'accept' | 'decline' | 'withdraw'): Conversation {
    const talk = this.talk(id, userId);
    const state = ({ accept: 'active', decline: 'declined', withdraw: 'withdrawn' } as const)[verb];
    if (talk.state === state) return this.view(talk, userId);
    if (talk.state !== 'request' || (talk.initiatorId === userId) !== (verb === 'withdraw')) {
      throw new Refused(409, 'request_closed');
    }
    talk.state = state;
    // The sender is not told of a decline.
    const told = verb === 'decline' ? [userId] : ids(talk);
    for (const each of told) this.renew(talk, each, state);
    const name = { accept: 'accepted', decline: 'declined', withdraw: 'updated' }[verb];
    this.publish(`conversation.${name}`, talk, told);
    return this.view(talk, userId);
  }

  setFlags(userId: string, id: string, flags: { muted?: boolean; archived?: boolean }): Conversation {
    const talk = this.talk(id, userId);
    Object.assign(of(talk, userId), flags, { changedAt: Date.now() });
    this.publish('conversation.updated', talk, [userId]);
    return this.view(talk, userId);
  }

  block(userId: string, otherId: string, on: boolean): null {
    const key = `${userId}>${otherId}`;
    if (this.blocks.has(key) === on) return null;
    if (on) this.blocks.add(key);
    else this.blocks.delete(key);
    for (const talk of this.talks.values()) {
      if (!ids(talk).includes(userId) || !ids(talk).includes(otherId)) continue;
      this.renew(talk, userId, of(talk, userId).state);
      this.publish('conversation.updated', talk, [userId]);
    }
    this.publish(on ? 'block.created' : 'block.removed', null, [userId], { userId: otherId, version: 1 });
    return null;
  }

  // What they see

  view(talk: Talk, userId: string): Conversation {
    const member = of(talk, userId);
    const last = talk.messages[talk.messages.length - 1] as Message;
    return {
      id: talk.id,
      state: member.state,
      kind: 'direct',
      initiatorId: talk.initiatorId,
      assigneeId: null,
      participants: talk.members.map((each) => ({
        user: each.user,
        side: each.user.id === talk.initiatorId ? 'initiator' : 'recipient',
        joinedAt: talk.createdAt,
        leftAt: null,
        lastReadSeq: each === member || talk.state === 'active' ? each.lastReadSeq : null,
      })),
      context: null,
      policy: this.policy(talk, userId),
      lastMessage: last,
      lastMessageAt: last.createdAt,
      lastSeq: talk.messages.length,
      changeSeq: talk.lastChange,
      lastReadSeq: member.lastReadSeq,
      unreadCount: this.unreadIn(talk, userId),
      folder: this.home(talk, userId),
      muted: member.muted,
      archived: member.archived,
      blockedByMe: this.blockedBy(talk, userId),
      version: member.version,
      createdAt: talk.createdAt,
      updatedAt: talk.updatedAt.get(userId) as string,
    };
  }

  unread(userId: string): Unread {
    const totals = { messages: 0, conversations: 0, requests: 0 };
    for (const talk of this.talks.values()) {
      if (!ids(talk).includes(userId)) continue;
      const { folder, unreadCount, muted, archived } = this.view(talk, userId);
      if (muted || archived || folder === null) continue;
      totals.messages += unreadCount;
      totals.conversations += unreadCount > 0 ? 1 : 0;
      totals.requests += folder === 'requests' ? 1 : 0;
    }
    return totals;
  }

  private event(talk: Talk, userId: string): ConversationChange {
    const view = this.view(talk, userId);
    const { id, state, kind, initiatorId, assigneeId, context, version, lastSeq, lastMessageAt } = view;
    const { folder, lastReadSeq, unreadCount, muted, archived, policy, blockedByMe } = view;
    const known = { id, state, kind, initiatorId, assigneeId, context, version, lastSeq, lastMessageAt };
    const changeSeq = this.withChangeSeq ? { changeSeq: view.changeSeq } : {};
    return {
      conversation: { ...known, ...changeSeq, participantIds: ids(talk) },
      self: { folder, lastReadSeq, unreadCount, muted, archived, policy, blockedByMe },
      unread: this.unread(userId),
    };
  }

  private watchList(userId: string): WatchItem[] {
    return [...this.talks.values()]
      .filter((talk) => ids(talk).includes(userId))
      .sort((a, b) => of(b, userId).changedAt - of(a, userId).changedAt)
      .map((talk) => {
        const { version, state, lastReadSeq, changedAt } = of(talk, userId);
        return {
          conversationId: talk.id,
          state,
          version,
          lastSeq: talk.messages.length,
          changeSeq: talk.lastChange,
          lastReadSeq,
          changedAt: iso(changedAt),
        };
      });
  }

  private folder(userId: string, query: URLSearchParams) {
    const name = (query.get('folder') ?? 'inbox') as FolderName;
    const limit = Number(query.get('limit') ?? 50);
    const from = Number(query.get('cursor') ?? 0);
    const all = [...this.talks.values()]
      .filter((talk) => ids(talk).includes(userId))
      .map((talk) => this.view(talk, userId))
      .filter((each) => each.folder === name)
      .sort(
        (a, b) => String(b.lastMessageAt).localeCompare(String(a.lastMessageAt)) || (a.id < b.id ? 1 : -1),
      );
    const items = all.slice(from, from + limit);
    return { items, nextCursor: from + limit < all.length ? String(from + limit) : null };
  }

  private store(talk: Talk, senderId: string, text: string, key: string, replyToId: string | null = null) {
    talk.lastChange += 1;
    const message: Message = {
      id: this.id('m'),
      clientMessageId: key,
      conversationId: talk.id,
      seq: talk.messages.length + 1,
      changeSeq: talk.lastChange,
      senderId,
      kind: 'text',
      text,
      links: [],
      attachments: [],
      replyToId: replyToId ?? null,
      createdAt: iso(),
      editedAt: null,
      redactedAt: null,
      redactedBy: null,
    };
    talk.messages.push(message);
    for (const member of talk.members) {
      member.archived &&= member.muted;
      member.changedAt = Date.now();
    }
    return message;
  }

  private changeMessage(talk: Talk, message: Message): Message {
    talk.lastChange += 1;
    const changed = { ...message, changeSeq: talk.lastChange };
    talk.messages[message.seq - 1] = changed;
    for (const member of talk.members) member.changedAt = Date.now();
    this.publish('message.updated', talk, ids(talk), message.id);
    return changed;
  }

  private renew(talk: Talk, userId: string, state: ConversationState): void {
    const member = of(talk, userId);
    member.version += 1;
    member.state = state;
    member.changedAt = Date.now();
    talk.updatedAt.set(userId, iso());
  }

  private talk(id: string, userId: string): Talk {
    const talk = this.talks.get(id);
    if (!talk || !ids(talk).includes(userId)) throw new Refused(404, 'not_found');
    return talk;
  }

  private message(talk: Talk, id: string, senderId: string): Message {
    const message = talk.messages.find((each) => each.id === id && each.senderId === senderId);
    if (!message) throw new Refused(404, 'not_found');
    return message;
  }

  private unreadIn(talk: Talk, userId: string): number {
    const { lastReadSeq } = of(talk, userId);
    return talk.messages.filter(
      (each) => each.seq > lastReadSeq && each.senderId !== userId && each.redactedAt === null,
    ).length;
  }

  private home(talk: Talk, userId: string): FolderName | null {
    const { state, archived } = of(talk, userId);
    if (archived) return 'archived';
    if (state === 'active') return 'inbox';
    if (state !== 'request') return null;
    return talk.initiatorId === userId ? 'sent' : 'requests';
  }

  private policy(talk: Talk, userId: string): Conversation['policy'] {
    const { state } = of(talk, userId);
    const isInitiator = talk.initiatorId === userId;
    const blocked = this.blockedBy(talk, userId);
    const active = state === 'active';
    const closed = { request: isInitiator ? 'request_pending' : 'accept_required' }[state as 'request'];
    const reason = blocked ? 'blocked_by_me' : active ? null : (closed ?? 'request_closed');
    const messagesLeft = state === 'request' && isInitiator ? 0 : null;
    return {
      canSend: active && !blocked,
      reason,
      linksClickable: active,
      attachmentsAllowed: active,
      messagesLeft,
    };
  }

  private blockedBy(talk: Talk, userId: string): boolean {
    return ids(talk).some((each) => this.blocks.has(`${userId}>${each}`));
  }

  private isBlocked(talk: Talk): boolean {
    return ids(talk).some((each) => this.blockedBy(talk, each));
  }

  private id(kind: string): string {
    this.counter += 1;
    return `${kind}${this.counter}`;
  }
}

function ids(talk: Talk): string[] {
  return talk.members.map((each) => each.user.id);
}

function of(talk: Talk, userId: string): Member {
  return talk.members.find((each) => each.user.id === userId) as Member;
}
