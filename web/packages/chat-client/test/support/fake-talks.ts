// The truth of the fake service: conversations, what people do in them, and what each of them sees.

import type {
  Conversation,
  ConversationChange,
  ConversationState,
  FolderName,
  Message,
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

export interface Talk {
  id: string;
  initiatorId: string;
  state: ConversationState;
  messages: Message[];
  lastChange: number;
  members: Member[];
  createdAt: string;
  updatedAt: Map<string, string>;
}

export const iso = (at = Date.now()): string => new Date(at).toISOString();

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code);
  }
}

export abstract class FakeTalks {
  readonly talks = new Map<string, Talk>();
  readonly users = new Map<string, User>();
  readonly blocks = new Set<string>();
  withChangeSeq = true;
  protected counter = 0;

  /** Tells people what happened. */
  protected abstract publish(type: string, talk: Talk | null, userIds: string[], data?: unknown): void;

  user(id: string, role: User['role'] = 'recruiter'): User {
    let known = this.users.get(id);
    if (known === undefined) {
      known = { id, displayName: id, avatarUrl: null, role, orgId: null, orgName: null, orgVerified: false };
      this.users.set(id, known);
    }
    return known;
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

  protected event(talk: Talk, userId: string): ConversationChange {
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

  protected watchList(userId: string): WatchItem[] {
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

  protected folder(userId: string, query: URLSearchParams) {
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

  protected talk(id: string, userId: string): Talk {
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

  protected id(kind: string): string {
    this.counter += 1;
    return `${kind}${this.counter}`;
  }
}

export function ids(talk: Talk): string[] {
  return talk.members.map((each) => each.user.id);
}

function of(talk: Talk, userId: string): Member {
  return talk.members.find((each) => each.user.id === userId) as Member;
}
