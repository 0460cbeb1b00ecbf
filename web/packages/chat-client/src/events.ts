// What the server's events change, each of them once.

import type { Entries } from './entries.js';
import { type Change, created, withChange, withEvent, withReceipt } from './entry.js';
import type { Totals } from './folders.js';
import type { Outbox } from './outbox.js';
import type { Status } from './state.js';
import type { ConversationChange, Frame, Message, Notice, Receipt } from './types.js';

const REMEMBERED = 2_000;

export class Events {
  readonly #seen = new Set<string>();

  constructor(
    private readonly entries: Entries,
    private readonly outbox: Outbox,
    private readonly totals: Totals,
    private readonly status: Status,
    /** Whether somebody looks at a conversation. */
    private readonly isWatched: (id: string) => boolean,
  ) {}

  clear(): void {
    this.#seen.clear();
  }

  isNew({ eventId }: Frame): boolean {
    if (eventId === undefined) return true;
    if (this.#seen.has(eventId)) return false;
    this.#seen.add(eventId);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value as string);
    return true;
  }

  happened({ type, conversationId = '', data }: Frame): void {
    const { entries, status } = this;
    switch (type) {
      case 'message.created':
        return this.#messageCreated((data as { message: Message }).message);
      case 'message.updated': {
        const { message } = data as { message: Message };
        this.changed(message);
        return status.emit('messageUpdated', { message });
      }
      case 'message.deleted': {
        const { seq, changeSeq } = data as Change;
        return this.#change(conversationId, { seq, changeSeq, message: null });
      }
      case 'read.receipt': {
        const receipt = data as Receipt;
        entries.update(conversationId, (entry) =>
          entry.view === null ? entry : withReceipt(entry, receipt, entries.me),
        );
        return status.emit('receipt', { ...receipt, conversationId });
      }
      case 'block.created':
      case 'block.removed': {
        const { userId } = data as { userId: string };
        this.rereadWith(userId);
        return status.emit('block', { userId, blocked: type === 'block.created' });
      }
      default:
        if (type.startsWith('conversation.')) this.#conversationChanged(type, data as ConversationChange);
        else if (type === 'system.notice') status.emit('notice', data as Notice);
    }
  }

  /** One of this person's own has arrived; its event may come before or after. */
  sent(message: Message): void {
    // Where nobody looks, only the event can tell whether it was told before.
    if (this.entries.get(message.conversationId).view === null) this.changed(message);
    else this.#messageCreated(message);
  }

  /** A message as it now stands. */
  changed(message: Message): void {
    this.outbox.changed(message);
    this.#change(message.conversationId, created(message));
  }

  /** What is known of conversations with somebody may be otherwise now. */
  rereadWith(userId: string): void {
    for (const each of [...this.entries.views()]) {
      if (each.participants.some((one) => one.user.id === userId)) this.entries.markStale(each.id);
    }
  }

  #messageCreated(message: Message): void {
    const { conversationId: id } = message;
    const before = this.entries.get(id);
    this.changed(message);
    const isKnown = before.view !== null && message.changeSeq <= before.view.changeSeq;
    if (!isKnown) this.status.emit('message', { message, conversation: this.entries.view(id) });
  }

  #change(id: string, change: Change): void {
    const { entries } = this;
    if (this.isWatched(id)) {
      entries.update(id, (entry) => withChange(entry, change, entries.me, entries.moment));
    }
    this.totals.moved();
  }

  #conversationChanged(type: string, data: ConversationChange): void {
    const { entries } = this;
    const { id } = data.conversation;
    if (this.isWatched(id)) {
      entries.update(id, (entry) => withEvent(entry, data, entries.me, entries.moment));
    }
    this.totals.told(data.unread);
    this.status.emit('conversation', { type, id, conversation: entries.view(id) });
  }
}
