// A conversation on screen: who, about what, the messages, the foot.

import { h, icon, iconButton, setText } from './dom.js';
import { firstName, nameOf } from './format.js';
import { FootView } from './view-composer.js';
import { Menu } from './view-menu.js';
import { MessagesView } from './view-messages.js';
import { avatar, PresenceView, standing } from './view-person.js';

export class ThreadView {
  /** `attempt(promise)` shows what goes wrong; `onback` leaves the thread on a narrow pane. */
  constructor(session, { attempt, onback }) {
    this.session = session;
    const { store } = session;
    this.store = store;
    const openId = () => store.openId;
    this.messages = new MessagesView(store, {
      retry: (key) => session.retry(openId(), key),
      discard: (key) => session.discard(openId(), key),
      older: () => openId() && attempt(session.loadOlder(openId())),
      seen: () => this.markSeen(),
    });
    this.foot = new FootView(store, {
      send: (text) => {
        try {
          session.send(openId(), text);
          return true;
        } catch (problem) {
          attempt(Promise.reject(problem));
          return false; // too many wait: it stays in the composer
        }
      },
      typing: (text) => session.typing(openId(), text),
      answer: (verb) => attempt(session.answer(openId(), verb)),
      unblock: (user) => attempt(session.setBlocked(user, false)),
    });
    this.menu = new Menu('More actions', () => this.actions(attempt));
    this.who = h('div', { class: 'who' });
    this.presence = new PresenceView();
    this.typing = h('p', { class: 'typing' });
    this.about = h('div', { class: 'about' });
    this.back = iconButton('back', 'Back to the list', onback, { class: 'icon-button back' });
    this.node = h(
      'section',
      { class: 'thread' },
      h(
        'header',
        { class: 'thread-top' },
        h('div', { class: 'thread-head' }, this.back, this.who, this.menu.node),
        this.about,
      ),
      this.messages.node,
      this.typing,
      this.foot.node,
    );
  }

  actions(attempt) {
    const { session, store } = this;
    const conversation = store.open;
    const [other] = store.others(conversation);
    const name = firstName(other);
    const blocked = conversation.blockedByMe;
    const items = [
      blocked
        ? { label: `Unblock ${name}`, icon: 'blocked', run: () => attempt(session.setBlocked(other, false)) }
        : {
            label: `Block ${name}`,
            icon: 'blocked',
            danger: true,
            run: () => attempt(session.setBlocked(other, true)),
          },
    ];
    if (conversation.state === 'request' && conversation.initiatorId === store.me.id) {
      items.unshift({
        label: 'Take request back',
        icon: 'close',
        run: () => attempt(session.answer(conversation.id, 'withdraw')),
      });
    }
    return items;
  }

  markSeen() {
    if (this.store.openId && this.messages.inView && this.store.thread(this.store.openId).loaded)
      this.session.markRead(this.store.openId);
  }

  render() {
    const conversation = this.store.open;
    if (!conversation) return;
    const [other] = this.store.others(conversation);
    const mark = JSON.stringify([other, conversation.context]);
    if (this.mark !== mark) {
      this.mark = mark;
      this.node.setAttribute('aria-label', `Conversation with ${nameOf(other)}`);
      this.who.replaceChildren(
        avatar(other),
        h(
          'div',
          { class: 'who-text' },
          h('h2', {}, h('bdi', {}, nameOf(other))),
          h('div', { class: 'who-line' }, standing(other), this.presence.node),
        ),
      );
      this.renderAbout(conversation.context);
    }
    this.presence.render(this.store.presenceOf(other.id));
    this.messages.render(conversation);
    const names = this.store.typingIn(conversation).map(firstName);
    setText(
      this.typing,
      names.length ? `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} typing…` : '',
    );
    this.foot.render(conversation);
    this.markSeen();
  }

  renderAbout(context) {
    this.about.hidden = !context?.jobTitle;
    if (this.about.hidden) return;
    this.about.replaceChildren(
      icon('job'),
      h(
        'div',
        { class: 'about-text' },
        h('strong', {}, h('bdi', {}, context.jobTitle)),
        context.companyName && h('span', {}, h('bdi', {}, context.companyName)),
      ),
    );
  }
}
