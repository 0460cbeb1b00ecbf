// What one person is shown: the chat client's stores, and which conversation is open.

export const FOLDERS = ['inbox', 'requests', 'sent'];

const CONNECTION = {
  idle: 'connecting',
  connecting: 'connecting',
  reconnecting: 'connecting',
  resumed: 'live',
  resync: 'live',
  live: 'live',
  authRequired: 'closed',
  banned: 'closed',
  closed: 'closed',
};

export class Store {
  constructor(chat, me) {
    this.chat = chat;
    this.me = me;
    this.openId = null;
    this.newFrom = new Map(); // conversation id -> where the "New" divider stands, or null
    this.listeners = new Set();
    this.scheduled = false;
    const changed = () => this.changed();
    this.unwatch = [chat.state, chat.unread, ...FOLDERS.map((name) => chat.conversations[name])].map((each) =>
      each.subscribe(changed),
    );
    this.unwatchOpen = () => {};
    this.unwatchPerson = () => {};
  }

  close() {
    this.listeners.clear();
    for (const stop of [...this.unwatch, this.unwatchOpen, this.unwatchPerson]) stop();
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Tell the listeners, once for everything that happens in this task. */
  changed() {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    });
  }

  /** {name: 'connecting' | 'live' | 'waiting' | 'closed', code?}. */
  get connection() {
    const { phase, retryAt, code } = this.chat.state.getSnapshot();
    return { name: retryAt === null ? CONNECTION[phase] : 'waiting', code };
  }

  get loaded() {
    return FOLDERS.every((name) => this.chat.conversations[name].getSnapshot().loaded);
  }

  /** Of the last load. */
  get problem() {
    return FOLDERS.map((name) => this.chat.conversations[name].getSnapshot().error).find(Boolean) ?? null;
  }

  show(id) {
    this.unwatchOpen();
    this.openId = id;
    this.unwatchOpen = id === null ? () => {} : this.watchOpen(this.chat.conversation(id));
    const known = id === null ? null : this.conversation(id);
    if (known) this.newFrom.set(id, known.unreadCount ? known.lastReadSeq + 1 : null);
    this.changed();
  }

  watchOpen(talk) {
    const changed = () => this.changed();
    const stops = [talk.subscribe(changed), talk.live.subscribe(changed), talk.open()];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** {status, lastSeenAt} of the one person whose presence is on screen. */
  presenceOf(userId) {
    const presence = this.chat.presence(userId);
    if (this.watched !== userId) {
      this.watched = userId;
      this.unwatchPerson();
      this.unwatchPerson = presence.subscribe(() => this.changed());
    }
    return presence.getSnapshot();
  }

  /** Of those in a conversation that is on screen. */
  typingIn(conversation) {
    const { typing } = this.chat.conversation(conversation.id).live.getSnapshot();
    return this.others(conversation).filter((user) => typing.includes(user.id));
  }

  conversation(id) {
    return this.chat.conversation(id).getSnapshot().conversation;
  }

  get open() {
    return this.openId === null ? null : this.conversation(this.openId);
  }

  /** {messages, loaded, newFromSeq}; messages that are on their way come last. */
  thread(id) {
    const { messages, loaded } = this.chat.conversation(id).getSnapshot();
    return { messages, loaded, newFromSeq: this.newFrom.get(id) ?? null };
  }

  /** Newest activity first. */
  folder(name) {
    return this.chat.conversations[name].getSnapshot().items;
  }

  unreadIn(folder) {
    return this.chat.conversations[folder].getSnapshot().unreadMessages;
  }

  /** Over all lists; muted and archived conversations do not count. */
  get unread() {
    return this.chat.unread.getSnapshot().messages;
  }

  others(conversation) {
    return conversation.participants.map((each) => each.user).filter((user) => user.id !== this.me.id);
  }
}
