// How a person is shown: a picture of initials, a name, what they do.

import { h, icon } from './dom.js';
import { initials, nameOf, roleName, tint } from './format.js';

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
