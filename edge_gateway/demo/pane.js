// One side of the demo: a person, their list, the conversation they look at.

import { ChatProblem, UnauthorizedError } from './chat-client.js';
import { h, icon, iconButton, setText } from './dom.js';
import { roleName } from './format.js';
import { Session } from './session.js';
import { ListView } from './view-list.js';
import { avatar } from './view-person.js';
import { StartView } from './view-start.js';
import { ThreadView } from './view-thread.js';

const PROBLEM_SHOWN_MS = 8_000;
const ENDED = {
  4502: 'This account may not use the chat at the moment.',
  4504: 'Opened elsewhere: a newer connection took over.',
};
const RECONNECT_BANNER_AFTER_MS = 2_000;
const WIDE = '(min-width: 768px)';
const STATES = { connecting: 'Connecting…', live: 'Live', waiting: 'Reconnecting…', closed: 'Disconnected' };

export class Pane {
  /**
   * `other()` is the person of the other side; `onchange` hears that this side's person or counts changed;
   * `announce(text)` speaks to screen readers.
   */
  constructor(root, { title, mark, people, everybody, issuer, other, onchange, announce }) {
    Object.assign(this, { root, people, everybody, issuer, other, onchange, announce });
    this.id = root.dataset.side;
    this.face = h('span', { class: 'face' });
    this.select = h(
      'select',
      {
        'aria-label': `Person on ${title}`,
        onchange: () => this.startAs(this.select.value),
      },
      people.map((each) =>
        h('option', { value: each.userId }, `${each.displayName} · ${each.orgName ?? roleName(each.role)}`),
      ),
    );
    this.dot = h('span', { class: 'connection', role: 'status' }, h('i'), h('span'));
    this.banner = h('div', { class: 'banner', role: 'status', hidden: true });
    this.told = h('div', { class: 'banner told', role: 'status', hidden: true });
    this.problem = h('div', { class: 'problem', role: 'alert', hidden: true });
    this.body = h('div', { class: 'pane-body', dataset: { view: 'list' } });
    root.replaceChildren(
      h(
        'header',
        { class: 'pane-head' },
        h('span', { class: 'product' }, icon(mark), title),
        h('label', { class: 'persona' }, this.face, this.select, icon('down')),
        this.dot,
      ),
      this.banner,
      this.told,
      this.problem,
      this.body,
    );
  }

  /** Switch to a person: everything of the one before is dropped. */
  become(userId) {
    this.session?.end();
    this.person = this.people.find((each) => each.userId === userId) ?? this.people[0];
    this.select.value = this.person.userId;
    this.face.replaceChildren(
      avatar({ id: this.person.userId, displayName: this.person.displayName }, 'small'),
    );
    const session = (this.session = new Session({
      person: this.person,
      issuer: this.issuer,
      onIncoming: (message, conversation) => this.incoming(message, conversation),
      onNotice: (notice) => this.tell(notice),
    }));
    this.told.hidden = true;
    const attempt = (promise) => this.attempt(promise);
    const onback = () => {
      this.show('list');
      this.list.panel.focus();
    };
    this.list = new ListView(
      session.store,
      { open: (id) => this.open(id), compose: () => this.compose(), reload: () => session.reload() },
      this.id,
    );
    this.thread = new ThreadView(session, { attempt, onback });
    this.start = new StartView(
      this.person,
      this.everybody,
      { start: (...what) => this.begin(...what), back: onback },
      this.id,
    );
    this.idle = h('section', { class: 'idle' });
    this.body.replaceChildren(this.list.node, this.thread.node, this.start.node, this.idle);
    this.show('list');
    this.renderIdle();
    session.store.subscribe(() => this.render());
    this.render();
    this.onchange();
    return session.start();
  }

  async startAs(userId) {
    await this.become(userId);
    this.openShared();
  }

  /** `view`: list, thread or start; a wide pane shows the list beside the other two. */
  show(view) {
    this.body.dataset.view = view;
    if (view === 'list') this.session.store.show(null);
    else this.session.store.changed();
  }

  open(id) {
    const fromList = this.list.node.contains(document.activeElement);
    this.body.dataset.view = 'thread';
    // Where the thread takes the list's place, the focus goes along.
    if (fromList && !this.list.node.getClientRects().length) this.thread.back.focus();
    return this.attempt(this.session.open(id));
  }

  compose(userId = this.other()?.userId) {
    this.show('list');
    this.body.dataset.view = 'start';
    this.start.show(userId);
  }

  async begin(...what) {
    const { session } = this;
    const id = await session.begin(...what);
    if (this.session !== session) return;
    const { folder } = session.store.conversation(id);
    this.list.show(folder === 'sent' ? 'sent' : 'inbox');
    await this.open(id);
  }

  /** Where there is room for both, show the conversation with the person of the other side, if there is one. */
  openShared() {
    const { store } = this.session;
    const id = this.other()?.userId;
    const listed = ['inbox', 'requests', 'sent'].flatMap((name) => store.folder(name));
    const shared = listed.find((each) => store.others(each).some((user) => user.id === id));
    if (!shared || store.openId || !matchMedia(WIDE).matches) return;
    this.list.show(shared.folder);
    this.open(shared.id);
  }

  renderIdle() {
    const { store } = this.session;
    const other = this.other();
    const mayWrite = other && store.me.role !== 'candidate' ? true : other?.role !== 'candidate';
    const mark = other?.userId ?? '';
    if (this.idle.dataset.mark === mark) return;
    this.idle.dataset.mark = mark;
    this.idle.replaceChildren(
      icon('talk'),
      h('p', {}, 'Choose a conversation'),
      other && mayWrite
        ? h(
            'button',
            { type: 'button', class: 'button plain', onclick: () => this.compose(other.userId) },
            `Write to ${other.displayName}`,
          )
        : '',
    );
  }

  render() {
    const { store } = this.session;
    const { open } = store;
    if (!open && this.body.dataset.view === 'thread') this.body.dataset.view = 'list';
    // The list goes along when the open conversation moves to another one, as on accept.
    const moved = open && open.id === this.followed?.id && open.folder !== this.followed.folder;
    if (moved && this.list.folder === this.followed.folder) this.list.follow(open.folder);
    this.followed = open && { id: open.id, folder: open.folder };
    this.body.classList.toggle('first-load', !store.loaded);
    this.list.render();
    this.thread.render();
    this.renderConnection(store.connection);
    this.onchange();
  }

  renderConnection({ name, code }) {
    this.dot.dataset.state = name;
    setText(this.dot.lastChild, STATES[name]);
    if (name === 'live' || name === 'closed') {
      clearTimeout(this.bannerTimer);
      this.bannerTimer = null;
      this.banner.hidden = name === 'live';
      if (name === 'closed')
        this.banner.replaceChildren(
          h('span', {}, ENDED[code] ?? 'The session has ended.'),
          h(
            'button',
            { type: 'button', class: 'link', onclick: () => this.startAs(this.person.userId) },
            'Start again',
          ),
        );
    } else if (!this.bannerTimer && this.banner.hidden) {
      this.bannerTimer = setTimeout(() => this.showReconnecting(), RECONNECT_BANNER_AFTER_MS);
    }
  }

  showReconnecting() {
    this.banner.replaceChildren(
      h('span', {}, 'Reconnecting… What you see may be behind.'),
      h(
        'button',
        { type: 'button', class: 'link', onclick: () => this.session.chat.retryNow() },
        'Retry now',
      ),
    );
    this.banner.hidden = false;
  }

  /** Something everybody is told; the newest stays until it is dismissed. */
  tell({ text }) {
    const close = () => {
      this.told.hidden = true;
    };
    this.told.replaceChildren(h('span', {}, text), iconButton('close', 'Dismiss', close));
    this.told.hidden = false;
  }

  async attempt(promise) {
    const { session } = this;
    try {
      await promise;
    } catch (problem) {
      // The banner says that the session has ended; and what the person of before asked for is nobody's.
      if (problem instanceof UnauthorizedError || session !== this.session) return;
      if (!(problem instanceof ChatProblem)) throw problem;
      clearTimeout(this.problemTimer);
      const close = () => {
        this.problem.hidden = true;
      };
      this.problem.replaceChildren(
        icon('failed'),
        h('span', {}, problem.message),
        iconButton('close', 'Dismiss', close),
      );
      this.problem.hidden = false;
      this.problemTimer = setTimeout(close, PROBLEM_SHOWN_MS);
    }
  }

  incoming(message, conversation) {
    const sender = conversation?.participants.find((each) => each.user.id === message.senderId)?.user;
    if (sender) this.announce(`${sender.displayName} to ${this.person.displayName}: ${message.text}`);
  }
}
