// One person at work: the chat client, and what this page keeps beside it.

import { LiveClient } from './chat-client.js';
import { FOLDERS, Store } from './store.js';

/** A key that no other message has. (`crypto.randomUUID` exists on https and localhost only.) */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Session {
  /** `onIncoming(message, conversation)` hears each new message of somebody else, `onNotice(notice)` what all hear. */
  constructor({ person, issuer, onIncoming, onNotice }) {
    this.person = person;
    this.chat = new LiveClient({ getToken: issuer.tokensFor(person) });
    this.store = new Store(this.chat, { ...person, id: person.userId });
    this.chat.on('message', ({ message, conversation }) => {
      if (message.senderId !== person.userId) onIncoming(message, conversation);
    });
    this.chat.on('notice', onNotice);
  }

  start() {
    this.chat.connect();
    return this.reload();
  }

  end() {
    this.store.close();
    this.chat.disconnect();
  }

  /** Read the lists; what goes wrong is the store's `problem`. */
  async reload() {
    await Promise.all(FOLDERS.map((name) => this.chat.conversations[name].load()));
  }

  /** Show a conversation, or (null) none. */
  async open(id) {
    this.store.show(id);
    if (id !== null) await this.chat.conversation(id).load();
  }

  async loadOlder(id) {
    await this.chat.conversation(id).loadOlder();
  }

  /** Show a message at once and bring it there, with the same key however often it takes. Throws ChatProblem. */
  send(id, text) {
    this.chat.conversation(id).send(text);
  }

  /** What is being written has become `text`. */
  typing(id, text) {
    const talk = this.chat.conversation(id);
    if (text) talk.keystroke();
    else talk.stopTyping();
  }

  retry(id, key) {
    this.chat.conversation(id).retry(key);
  }

  discard(id, key) {
    this.chat.conversation(id).discard(key);
  }

  /** Start a conversation with a message {clientMessageId, text}, or find the pair's own for this job; its id. */
  async begin(recipientId, job, { clientMessageId, text }) {
    const context = job ?? undefined;
    return (await this.chat.start({ recipientId, context, clientMessageId, text })).id;
  }

  /** `verb`: accept, decline or withdraw. */
  answer(id, verb) {
    return this.chat.conversation(id)[verb]();
  }

  setBlocked(user, blocked) {
    return blocked ? this.chat.block(user.id) : this.chat.unblock(user.id);
  }

  /** Everything up to now is on screen and has been read. */
  markRead(id) {
    this.chat.conversation(id).markRead();
  }
}
