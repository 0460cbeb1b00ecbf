// The foot of a thread: the composer, or why there is none.

import { h, icon, iconButton } from './dom.js';
import { firstName, nameOf } from './format.js';

const LONGEST_TEXT = 8_000;

/**
 * A text field that sends on Enter and makes a line on Shift+Enter. `onsend(text)` returns false to keep the text;
 * `oninput(text)` hears what is typed.
 */
export class Composer {
  constructor({ label, onsend, oninput }) {
    this.onsend = onsend;
    this.field = h('textarea', {
      rows: '1',
      maxlength: LONGEST_TEXT,
      placeholder: label,
      'aria-label': label,
      enterkeyhint: 'send',
      onkeydown: (event) => this.onKey(event),
      oninput: () => {
        this.fit();
        oninput?.(this.text);
      },
    });
    this.button = iconButton('send', 'Send', () => this.submit(), { class: 'send', disabled: true });
    this.node = h('div', { class: 'composer' }, this.field, this.button);
  }

  get text() {
    return this.field.value;
  }

  set text(value) {
    this.field.value = value;
    this.fit();
  }

  setLabel(label) {
    this.field.placeholder = label;
    this.field.setAttribute('aria-label', label);
  }

  fit() {
    this.button.disabled = !this.field.value.trim();
    this.field.style.height = 'auto';
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  onKey(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.submit();
  }

  submit() {
    const { text } = this;
    if (!text.trim() || this.onsend(text) === false) return;
    this.text = '';
    this.field.focus();
  }
}

/** Which foot a conversation has: {name, ...}; `compose` is the plain composer. */
export function footOf(store, conversation) {
  const [other] = store.others(conversation);
  const name = firstName(other);
  const { policy, state, blockedByMe, initiatorId } = conversation;
  const initiated = initiatorId === store.me.id;
  if (blockedByMe)
    return {
      kind: 'blocked',
      title: `You blocked ${name}.`,
      detail: 'Nothing passes between you two until you unblock.',
      other,
    };
  if (state === 'request' && !initiated) {
    return {
      kind: 'request',
      title: `${nameOf(other)} would like to talk with you.`,
      detail: `${name} can write one message until you accept, and links stay inactive.`,
    };
  }
  if (policy.canSend) return { kind: 'compose', label: `Message ${name}` };
  if (state === 'request') {
    return {
      kind: 'pending',
      title: `1 message until ${name} accepts.`,
      detail: 'Yours is sent. You can write on as soon as the request is accepted.',
    };
  }
  return {
    kind: 'closed',
    title: 'This request is closed.',
    detail: 'It stays readable; nobody can write here any more.',
  };
}

export class FootView {
  /** `on`: {send(text), typing(text), answer(verb), unblock(user)}. */
  constructor(store, on) {
    this.store = store;
    this.on = on;
    this.drafts = new Map();
    this.composer = new Composer({
      label: 'Message',
      onsend: (text) => on.send(text),
      oninput: (text) => on.typing(text),
    });
    this.node = h('div', { class: 'thread-foot' });
  }

  render(conversation) {
    const foot = footOf(this.store, conversation);
    if (this.shown !== conversation.id) {
      if (this.shown) this.drafts.set(this.shown, this.composer.text);
      this.composer.text = this.drafts.get(conversation.id) ?? '';
    }
    const mark = `${conversation.id} ${JSON.stringify(foot)}`;
    this.shown = conversation.id;
    if (this.mark === mark) return;
    const answered = this.node.contains(document.activeElement);
    this.mark = mark;
    if (foot.kind === 'compose') {
      this.composer.setLabel(foot.label);
      this.node.replaceChildren(this.composer.node);
      this.composer.fit();
      if (answered) this.composer.field.focus();
    } else {
      this.node.replaceChildren(this.notice(foot));
    }
  }

  notice({ kind, title, detail, other }) {
    const button = (label, style, verb) =>
      h('button', { type: 'button', class: `button ${style}`, onclick: () => this.on.answer(verb) }, label);
    const symbol = { request: 'talk', pending: 'clock', blocked: 'blocked', closed: 'failed' }[kind];
    return h(
      'div',
      { class: `notice ${kind}` },
      icon(symbol),
      h('div', { class: 'notice-text' }, h('strong', {}, title), h('p', {}, detail)),
      kind === 'request' &&
        h(
          'div',
          { class: 'notice-actions' },
          button('Decline', 'plain', 'decline'),
          button('Accept', 'primary', 'accept'),
        ),
      kind === 'blocked' &&
        h(
          'div',
          { class: 'notice-actions' },
          h(
            'button',
            { type: 'button', class: 'button plain', onclick: () => this.on.unblock(other) },
            'Unblock',
          ),
        ),
    );
  }
}
