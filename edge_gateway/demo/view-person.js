// How a person is shown: a picture of initials, a name, what they do.

import { h, icon, setText } from './dom.js';
import { fullTime, initials, lastSeen, nameOf, roleName, tint } from './format.js';

export function avatar(user, size = '') {
  return h(
    'span',
    { class: `avatar tint-${tint(user.id)} ${size}`, 'aria-hidden': 'true' },
    initials(nameOf(user)),
  );
}

/** Role and organisation, with the mark of a verified one. */
export function standing(user) {
  const verified =
    user.orgVerified &&
    h(
      'span',
      { class: 'verified', title: 'Verified organisation' },
      icon('verified'),
      h('span', { class: 'visually-hidden' }, ' (verified)'),
    );
  return h(
    'span',
    { class: 'standing' },
    roleName(user.role),
    user.orgName && h('span', { class: 'org' }, user.role ? ' · ' : '', h('bdi', {}, user.orgName)),
    verified,
  );
}

/** Whether somebody is here, in a word and a dot; nothing about who may not be seen. */
export class PresenceView {
  constructor() {
    this.text = h('span');
    this.node = h('span', { class: 'presence', hidden: true }, h('i', { 'aria-hidden': 'true' }), this.text);
  }

  render({ status, lastSeenAt }) {
    const isGone = status === 'offline';
    this.node.hidden = isGone && lastSeenAt === null;
    this.node.dataset.status = status;
    if (isGone && lastSeenAt !== null) {
      setText(this.text, `Last seen ${lastSeen(lastSeenAt)}`);
      this.text.title = fullTime(lastSeenAt);
    } else {
      setText(this.text, status === 'away' ? 'Away' : 'Online');
      this.text.removeAttribute('title');
    }
  }
}
