// The overflow menu of a thread.

import { h, icon, iconButton } from './dom.js';

export class Menu {
  /** `items()` returns [{label, icon, danger?, run()}] each time it opens. */
  constructor(label, items) {
    this.items = items;
    this.button = iconButton('more', label, () => this.toggle(), {
      'aria-haspopup': 'menu',
      'aria-expanded': 'false',
    });
    this.list = h('div', {
      class: 'menu',
      role: 'menu',
      'aria-label': label,
      hidden: true,
      onkeydown: (event) => this.onKey(event),
    });
    this.node = h('div', { class: 'menu-anchor' }, this.button, this.list);
    this.outside = (event) => {
      if (!this.node.contains(event.target)) this.close();
    };
    this.node.addEventListener('focusout', (event) => {
      if (event.relatedTarget && !this.node.contains(event.relatedTarget)) this.close();
    });
  }

  toggle() {
    if (!this.list.hidden) {
      this.close();
      return;
    }
    this.list.replaceChildren(
      ...this.items().map((item) =>
        h(
          'button',
          {
            type: 'button',
            role: 'menuitem',
            tabindex: '-1',
            class: item.danger ? 'danger' : null,
            onclick: () => this.choose(item),
          },
          icon(item.icon),
          item.label,
        ),
      ),
    );
    this.list.hidden = false;
    this.button.setAttribute('aria-expanded', 'true');
    this.list.firstChild?.focus();
    document.addEventListener('pointerdown', this.outside);
  }

  close() {
    this.list.hidden = true;
    this.button.setAttribute('aria-expanded', 'false');
    document.removeEventListener('pointerdown', this.outside);
  }

  choose(item) {
    this.close();
    this.button.focus();
    item.run();
  }

  onKey(event) {
    const entries = [...this.list.children];
    const at = entries.indexOf(document.activeElement);
    const target = { ArrowDown: at + 1, ArrowUp: at - 1 + entries.length, Home: 0, End: entries.length - 1 }[
      event.key
    ];
    if (event.key === 'Escape') {
      this.close();
      this.button.focus();
    } else if (target !== undefined) {
      entries[target % entries.length].focus();
    } else {
      return;
    }
    event.preventDefault();
  }
}
