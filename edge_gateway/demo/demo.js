// The page: two people, side by side.

import { Issuer } from './api.js';
import { h, setText } from './dom.js';
import { count } from './format.js';
import { Pane } from './pane.js';

const ANNOUNCE_EVERY_MS = 1_000;
const TITLE = document.title;
const SIDES = {
  left: { title: 'splits.network', mark: 'splits', roles: ['recruiter', 'company'] },
  right: { title: 'applicant.network', mark: 'applicant', roles: ['candidate'] },
};

/** Says what came in, at most once a second. */
function announcer(node) {
  let waiting = [];
  let timer = null;
  return (text) => {
    waiting.push(text);
    timer ??= setTimeout(() => {
      node.replaceChildren(...waiting.map((line) => h('p', {}, line)));
      waiting = [];
      timer = null;
    }, ANNOUNCE_EVERY_MS);
  };
}

/** `#maya.lindqvist/elena.petrova` names the two people. */
function peopleOfAddress() {
  const [left, right] = decodeURIComponent(location.hash.slice(1)).split('/');
  return { left, right };
}

async function main() {
  const { issuerUrl } = await (await fetch('config.json')).json();
  const issuer = new Issuer(issuerUrl);
  const everybody = await issuer.people();
  const announce = announcer(document.getElementById('announcer'));
  const panes = {};

  const onchange = () => {
    const unread = Object.values(panes).map((pane) => pane.session?.store.unread ?? 0);
    const total = unread[0] + unread[1];
    const title = total ? `(${count(total)}) ${TITLE}` : TITLE;
    if (document.title !== title) document.title = title;
    for (const [side, pane] of Object.entries(panes)) {
      const messages = pane.session?.store.unread ?? 0;
      const badge = document.querySelector(`.sides [data-side="${side}"] .badge`);
      badge.hidden = messages === 0;
      setText(badge, count(messages));
      if (pane.session) pane.renderIdle();
    }
    if (panes.left.person && panes.right.person) {
      const hash = `#${panes.left.person.userId}/${panes.right.person.userId}`;
      if (location.hash !== hash) history.replaceState(null, '', hash);
    }
  };

  for (const [side, { title, mark, roles }] of Object.entries(SIDES)) {
    const opposite = side === 'left' ? 'right' : 'left';
    panes[side] = new Pane(document.querySelector(`.pane[data-side="${side}"]`), {
      title,
      mark,
      people: everybody.filter((each) => roles.includes(each.role)),
      everybody: everybody.filter((each) => each.role !== 'moderator'),
      issuer,
      other: () => panes[opposite]?.person,
      onchange,
      announce,
    });
  }

  for (const button of document.querySelectorAll('.sides button')) {
    button.addEventListener('click', () => {
      document.body.dataset.show = button.dataset.side;
      for (const each of document.querySelectorAll('.sides button'))
        each.setAttribute('aria-pressed', String(each === button));
      for (const pane of Object.values(panes)) pane.render();
    });
  }
  document.addEventListener('visibilitychange', () => Object.values(panes).forEach((pane) => pane.render()));

  const wanted = peopleOfAddress();
  await Promise.all([panes.left.become(wanted.left), panes.right.become(wanted.right ?? 'elena.petrova')]);
  for (const pane of Object.values(panes)) pane.openShared();
}

main().catch((error) => {
  console.error(error);
  document
    .querySelector('.panes')
    .replaceChildren(
      h(
        'p',
        { class: 'fatal' },
        'The demo could not start: the service or the token issuer does not answer. Is `make run` still running?',
      ),
    );
});
