// Who is here and who types, told over sockets to those who have the conversation on screen.

import type { Saying } from '../../src/connection.js';
import type { Presence } from '../../src/index.js';
import type { FakeSocket } from './fake-socket.js';
import { FakeTalks, iso, Refused } from './fake-talks.js';

export abstract class FakeLive extends FakeTalks {
  readonly sockets = new Set<FakeSocket>();
  readonly presences = new Map<string, Presence>();
  /** Nobody sees whether they are here. */
  readonly hidden = new Set<string>();
  /** The problem in place of an answer to a frame. */
  refusal: ((frame: Saying) => { code: string; status: number } | undefined) | null = null;
  /** Whether changes of presence are told. */
  tells = true;

  /** What a client said; what is wrong with it. */
  heard(socket: FakeSocket, frame: Saying): object | null {
    const refusal = this.refusal?.(frame);
    if (refusal) return refusal;
    const { type, conversationId = '', status = 'online' } = frame;
    try {
      switch (type) {
        case 'presence.ping':
          this.setPresence(socket.userId, status);
          return null;
        case 'conversation.open':
          socket.screens.add(this.talk(conversationId, socket.userId).id);
          for (const each of this.othersIn(conversationId, socket.userId)) {
            if (!this.hidden.has(each)) this.tellPresence(socket, this.presenceOf(each));
          }
          return null;
        case 'conversation.close':
          socket.screens.delete(conversationId);
          return null;
        case 'typing.started':
        case 'typing.stopped':
          this.talk(conversationId, socket.userId);
          for (const other of this.sockets) {
            if (other.userId === socket.userId || !other.screens.has(conversationId)) continue;
            other.tell({ ...this.ephemeral(type, { userId: socket.userId }), conversationId });
          }
          return null;
        case 'auth.refresh':
          return null;
        default:
          return { code: 'validation_failed', status: 400 };
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { code: error.code, status: error.status };
    }
  }

  setPresence(userId: string, status: Presence['status']): void {
    if (this.presenceOf(userId).status === status) return;
    const presence = { userId, status, lastSeenAt: iso() };
    this.presences.set(userId, presence);
    if (!this.tells || this.hidden.has(userId)) return;
    for (const socket of this.sockets) {
      const isShown = [...socket.screens].some((id) => this.othersIn(id, socket.userId).includes(userId));
      if (isShown) this.tellPresence(socket, presence);
    }
  }

  /** `GET /presence`: of those who share a conversation with this person. */
  protected presence(userId: string, userIds: readonly string[]) {
    const shared = [...this.talks.keys()].flatMap((id) => this.othersIn(id, userId));
    const asked = userIds.filter((each) => shared.includes(each));
    return { items: asked.map((each) => (this.hidden.has(each) ? gone(each) : this.presenceOf(each))) };
  }

  private presenceOf(userId: string): Presence {
    return this.presences.get(userId) ?? gone(userId);
  }

  private tellPresence(socket: FakeSocket, presence: Presence): void {
    socket.tell(this.ephemeral('presence.updated', presence));
  }

  private ephemeral(type: string, data: unknown) {
    return { type, eventId: this.id('e'), eventVersion: 1, occurredAt: iso(), data };
  }

  private othersIn(id: string, userId: string): string[] {
    const members = this.talks.get(id)?.members.map((each) => each.user.id) ?? [];
    return members.includes(userId) ? members.filter((each) => each !== userId) : [];
  }
}

const gone = (userId: string): Presence => ({ userId, status: 'offline', lastSeenAt: null });
