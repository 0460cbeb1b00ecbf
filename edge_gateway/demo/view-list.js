// The list: Inbox, Requests and Sent with their counts.

import { h, icon, keyed, setText } from './dom.js';
import { briefTime, count, firstName, nameOf, roleName } from './format.js';
import { avatar } from './view-person.js';

const TABS = [
  {
    folder: 'inbox',
    label: 'Inbox',
    empty: 'No conversations yet.',
    hint: 'Start one, or accept a request.',
  },
  {
    folder: 'requests',
    label: 'Requests',
    empty: 'No requests.',
    hint: 'Somebody who writes to you for the first time appears here.',
  },
  {
    folder: 'sent',
    label: 'Sent',
    empty: 'Nothing waits for an answer.',
    hint: 'A first message waits here until it is accepted.',
  },
];

export class ListView {
  /** `on`: {open(id), compose(), reload()}. */
  constructor(store, on, paneId) {
    this.store = store;
    this.on = on;
    this.folder = 'inbox';
    this.rows = h('ul', { class: 'rows' });
    this.state = h('div', { class: 'list-state' });
    this.panel = h(
      'div',
      { class: 'list-panel', id: `${paneId}-list`, role: 'tabpanel', tabindex: '-1' },
      this.rows,
      this.state,
    );
    this.tabs = TABS.map(({ folder, label }) => {
      const badge = h('span', { class: 'badge', hidden: true });
      const node = h(
        'button',
        {
          type: 'button',
          role: 'tab',
          id: `${paneId}-tab-${folder}`,
          'aria-controls': this.panel.id,
          dataset: { folder },
          onclick: () => this.show(folder),
        },
        label,
        badge,
      );
      return { folder, label, node, badge };
    });
    const tablist = h(
      'div',
      { class: 'tabs', role: 'tablist', 'aria-label': 'Folders', onkeydown: (event) => this.onKey(event) },
      this.tabs.map((tab) => tab.node),
    );
    const compose = h(
      'button',
      { type: 'button', class: 'compose-button', onclick: () => on.compose() },
      icon('write'),
      'New message',
    );
    this.node = h('div', { class: 'list' }, tablist, this.panel, compose);
  }

  show(folder) {
    this.folder = folder;
    this.render();
  }

  /** Turn to a folder, if it is one of those shown here; the caller renders. */
  follow(folder) {
    if (TABS.some((tab) => tab.folder === folder)) this.folder = folder;
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = this.tabs.findIndex((tab) => tab.folder === this.folder);
    const next = this.tabs[(at + step + this.tabs.length) % this.tabs.length];
    this.show(next.folder);
    next.node.focus();
    event.preventDefault();
  }

  render() {
    const { store } = this;
    for (const { folder, label, node, badge } of this.tabs) {
      const selected = folder === this.folder;
      const number = folder === 'inbox' ? store.unreadIn('inbox') : store.folder(folder).length;
      node.setAttribute('aria-selected', String(selected));
      node.tabIndex = selected ? 0 : -1;
      badge.hidden = number === 0;
      badge.classList.toggle('quiet', folder === 'sent');
      setText(badge, count(number));
      const meaning = folder === 'inbox' ? 'unread' : 'pending';
      node.setAttribute('aria-label', number ? `${label}, ${number} ${meaning}` : label);
      if (selected) this.panel.setAttribute('aria-labelledby', node.id);
    }
    const conversations = store.folder(this.folder);
    keyed(this.rows, conversations, {
      key: (each) => each.id,
      signature: (each) =>
        JSON.stringify([
          each.lastSeq,
          each.lastMessage,
          each.unreadCount,
          each.state,
          each.id === store.openId,
          each.blockedByMe,
          this.folder,
        ]),
      build: (each) => this.row(each),
    });
    this.renderState(conversations);
  }

  row(conversation) {
    const { store } = this;
    const [other] = store.others(conversation);
    const { lastMessage, unreadCount, context } = conversation;
    const mine = lastMessage?.senderId === store.me.id;
    const preview = lastMessage?.redactedAt ? 'Message removed' : (lastMessage?.text ?? '');
    const button = h(
      'button',
      {
        type: 'button',
        class: unreadCount ? 'row unread' : 'row',
        'aria-current': conversation.id === store.openId && 'true',
        onclick: () => this.on.open(conversation.id),
      },
      avatar(other),
      h(
        'span',
        { class: 'row-top' },
        h('span', { class: 'row-name' }, h('bdi', {}, nameOf(other))),
        h(
          'time',
          { class: 'row-time', datetime: conversation.lastMessageAt },
          conversation.lastMessageAt ? briefTime(conversation.lastMessageAt) : '',
        ),
      ),
      h('span', { class: 'row-about' }, context?.jobTitle ?? other.orgName ?? roleName(other.role)),
      h(
        'span',
        { class: 'row-bottom' },
        h('span', { class: 'row-preview', dir: 'auto' }, mine ? `You: ${preview}` : preview),
        this.mark(conversation, other),
      ),
    );
    return h('li', {}, button);
  }

  mark({ unreadCount, folder, blockedByMe }, other) {
    if (blockedByMe)
      return h(
        'span',
        { class: 'row-mark', title: `You blocked ${firstName(other)}` },
        icon('blocked'),
        h('span', { class: 'visually-hidden' }, 'Blocked'),
      );
    if (unreadCount)
      return h(
        'span',
        { class: 'badge' },
        count(unreadCount),
        h('span', { class: 'visually-hidden' }, ' unread'),
      );
    if (folder === 'sent')
      return h(
        'span',
        { class: 'row-mark', title: 'Waiting for an answer' },
        icon('clock'),
        h('span', { class: 'visually-hidden' }, 'Waiting for an answer'),
      );
    return null;
  }

  renderState(conversations) {
    const { store } = this;
    const { empty, hint } = TABS.find((tab) => tab.folder === this.folder);
    let mode = 'none';
    if (store.problem && !store.loaded) mode = 'problem';
    else if (!store.loaded) mode = 'loading';
    else if (!conversations.length) mode = `empty-${this.folder}`;
    if (this.mode === mode) return;
    this.mode = mode;
    if (mode === 'problem') {
      this.state.replaceChildren(
        h('p', {}, 'Conversations could not be loaded.'),
        h('button', { type: 'button', class: 'button', onclick: () => this.on.reload() }, 'Try again'),
      );
    } else if (mode === 'loading') {
      this.state.replaceChildren(
        ...Array.from({ length: 5 }, () => h('div', { class: 'skeleton-row' }, h('i'), h('i'), h('i'))),
      );
    } else if (mode.startsWith('empty')) {
      this.state.replaceChildren(h('p', {}, empty), h('p', { class: 'hint' }, hint));
    } else {
      this.state.replaceChildren();
    }
  }
}
