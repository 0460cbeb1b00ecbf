// Building and keeping nodes. Text only ever enters the page as text nodes: nothing here parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Make an element. `props`: `class`, `onclick` and other listeners, `dataset`, DOM booleans, and attributes.
 * `children`: nodes, strings, or null for nothing.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'class') node.className = value;
    else if (name === 'dataset') Object.assign(node.dataset, value);
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** One of the icons of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows only an icon; `label` is what it is called. */
export function iconButton(name, label, onclick, props = {}) {
  return h(
    'button',
    { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick, ...props },
    icon(name),
  );
}

/** Set text only where it differs, so that selections and live regions are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make `container` hold one node for each of `items`, in their order. A node is kept while its item's signature
 * stays the same, and built anew when it changes; the focus moves along to the new node.
 */
export function keyed(container, items, { key, signature, build }) {
  const kept = container.keyedNodes ?? new Map();
  const next = new Map();
  let place = container.firstChild;
  for (const item of items) {
    const id = key(item);
    const mark = signature(item);
    const old = kept.get(id);
    let entry = old;
    if (!old || old.mark !== mark) {
      entry = { node: build(item), mark };
      if (old) {
        const focused = old.node.contains(document.activeElement);
        if (old.node === place) place = old.node.nextSibling;
        old.node.replaceWith(entry.node);
        if (focused) (entry.node.querySelector('button, a') ?? entry.node).focus({ preventScroll: true });
      }
    }
    if (entry.node === place) place = place.nextSibling;
    else if (entry.node.nextSibling !== place || entry.node.parentNode !== container)
      container.insertBefore(entry.node, place);
    next.set(id, entry);
  }
  for (const [id, { node }] of kept) if (!next.has(id)) node.remove();
  container.keyedNodes = next;
}
