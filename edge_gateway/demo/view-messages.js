// The messages of a thread: days, groups, bubbles, what became of one's own.

import { h, icon, keyed, setText } from './dom.js';
import { clock, count, dayName, fullTime, nameOf, sameDay } from './format.js';
import { avatar } from './view-person.js';

const GROUP_GAP_MS = 5 * 60_000;
const END_SLACK_PX = 48;
const OLDER_AT_PX = 120;

const STATUS = {
  queued: ['clock', 'Sending…'],
  sending: ['clock', 'Sending…'],
  sent: ['sent', 'Sent'],
  read: ['read', 'Read'],
  failed: ['failed', 'Not sent'],
};

/** What is shown, top to bottom: {kind: 'day' | 'new' | 'message', ...}. */
export function timeline(store, conversation) {
  const thread = store.thread(conversation.id);
  const all = thread.messages;
  const lastMine = all.findLast((each) => each.mine && each.seq !== null);
  const items = [];
  all.forEach((message, at) => {
    const before = all[at - 1];
    const after = all[at + 1];
    const newDay = !before || !sameDay(before.createdAt, message.createdAt);
    const isNew = (each) => thread.newFromSeq !== null && each?.seq >= thread.newFromSeq;
    const startsNew = isNew(message) && !isNew(before);
    if (newDay)
      items.push({ kind: 'day', key: `day-${dayName(message.createdAt)}`, text: dayName(message.createdAt) });
    if (startsNew) items.push({ kind: 'new', key: 'new' });
    const joins = (a, b) =>
      a &&
      b &&
      a.senderId === b.senderId &&
      a.kind === b.kind &&
      sameDay(a.createdAt, b.createdAt) &&
      Date.parse(b.createdAt) - Date.parse(a.createdAt) < GROUP_GAP_MS;
    // Of those that have arrived only the last one says so; those on their way all do.
    const status = message === lastMine || (message.mine && message.seq === null) ? message.status : null;
    items.push({
      kind: 'message',
      key: `${message.senderId} ${message.clientMessageId}`,
      message,
      mine: message.mine,
      first: !joins(before, message) || startsNew,
      last: !joins(message, after),
      timed: !after || Date.parse(after.createdAt) - Date.parse(message.createdAt) >= GROUP_GAP_MS,
      status,
    });
  });
  return items;
}

export class MessagesView {
  /** `on`: {retry(clientMessageId), discard(clientMessageId), older(), seen()}. */
  constructor(store, on) {
    this.store = store;
    this.on = on;
    this.items = h('ol', { class: 'messages' });
    this.pill = h(
      'button',
      { type: 'button', class: 'pill', hidden: true, onclick: () => this.toEnd() },
      icon('down'),
      h('span'),
    );
    this.scroller = h(
      'div',
      {
        class: 'scroller',
        tabindex: '0',
        'aria-label': 'Messages',
        role: 'group',
        onscroll: () => this.onScroll(),
      },
      this.items,
    );
    this.node = h('div', { class: 'messages-frame' }, this.scroller, this.pill);
    this.shown = null;
    new ResizeObserver(() => {
      this.height = this.scroller.clientHeight;
      if (this.stuck) this.toEnd();
    }).observe(this.scroller);
  }

  get atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < END_SLACK_PX;
  }

  /** The end is to stay on screen. A height that the observer has not seen yet says nothing of that. */
  get keepsEnd() {
    return this.scroller.clientHeight === this.height ? this.atEnd : this.stuck;
  }

  /** On screen and scrolled to the end: what is here has been read. */
  get inView() {
    return document.visibilityState === 'visible' && this.scroller.getClientRects().length > 0 && this.atEnd;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  onScroll() {
    this.stuck = this.keepsEnd;
    if (this.stuck) {
      this.pill.hidden = true;
      this.on.seen();
    }
    if (this.scroller.scrollTop < OLDER_AT_PX) this.on.older();
  }

  render(conversation) {
    const { scroller, store } = this;
    const thread = store.thread(conversation.id);
    const switched = this.shown !== conversation.id;
    if (switched) this.fresh = true;
    this.shown = conversation.id;
    const stick = this.fresh || this.keepsEnd;
    const items = timeline(store, conversation);
    const newest = items.findLast((each) => each.kind === 'message');
    const fromEnd = scroller.scrollHeight - scroller.scrollTop;
    const oldest = items.find((each) => each.kind === 'message')?.key;
    const others = store.others(conversation);
    keyed(this.items, items, {
      key: (each) => each.key,
      signature: (each) => JSON.stringify(each),
      build: (each) => this.build(each, others),
    });
    this.items.classList.toggle('loading', !thread.loaded && !items.length);
    const own = newest?.mine && newest.key !== this.newestKey;
    if (stick || own) this.toEnd();
    else if (oldest !== this.oldestKey)
      scroller.scrollTop = scroller.scrollHeight - fromEnd; // older ones came in above
    else if (newest && newest.key !== this.newestKey) this.announceBelow(conversation);
    this.stuck = this.atEnd;
    if (this.stuck) this.pill.hidden = true;
    this.oldestKey = oldest;
    this.newestKey = newest?.key;
    if (thread.loaded) this.fresh = false;
  }

  announceBelow({ unreadCount }) {
    setText(this.pill.lastChild, unreadCount ? `${count(unreadCount)} new` : 'Newest');
    this.pill.hidden = false;
  }

  build(item, others) {
    if (item.kind === 'day') return h('li', { class: 'day' }, h('span', {}, item.text));
    if (item.kind === 'new') return h('li', { class: 'day new' }, h('span', {}, 'New'));
    const { message, mine, first, last, timed, status } = item;
    if (message.kind === 'system') return h('li', { class: 'system' }, message.text);
    const sender = others.find((user) => user.id === message.senderId);
    const name = mine ? 'You' : sender ? nameOf(sender) : 'Somebody';
    const classes = [
      'message',
      mine ? 'mine' : 'theirs',
      first && 'first',
      last && 'last',
      status === 'failed' && 'failed',
    ];
    return h(
      'li',
      { class: classes.filter(Boolean).join(' ') },
      !mine && last && sender ? avatar(sender, 'small') : null,
      h(
        'div',
        { class: 'bubble', title: fullTime(message.createdAt) },
        h('span', { class: 'visually-hidden' }, `${name}: `),
        message.redactedAt
          ? h('p', { class: 'removed' }, 'Message removed')
          : h('p', { dir: 'auto' }, message.text),
      ),
      timed || status ? this.foot(message, status) : null,
    );
  }

  foot(message, status) {
    const [name, label] = STATUS[status] ?? [];
    const time = h('time', { datetime: message.createdAt }, clock(message.createdAt));
    if (status !== 'failed')
      return h(
        'div',
        { class: 'foot' },
        time,
        label && h('span', { class: `status ${status}` }, icon(name), label),
      );
    return h(
      'div',
      { class: 'foot' },
      h('span', { class: 'status failed' }, icon(name), message.problem?.message || label),
      h(
        'button',
        { type: 'button', class: 'link', onclick: () => this.on.retry(message.clientMessageId) },
        'Retry',
      ),
      h(
        'button',
        { type: 'button', class: 'link', onclick: () => this.on.discard(message.clientMessageId) },
        'Delete',
      ),
    );
  }
}
