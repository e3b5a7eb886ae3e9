// Builds elements. Text is always a text node: nothing from outside is ever read as markup.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * `h('a', {class: 'x', href: '#/', onclick: f, data: {id: 1}, style: {'--p': '4%'}}, 'text', [more], null)`.
 * An attribute of `null`, `undefined` or `false` is left out, `true` is an empty one, a function becomes a listener.
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

/** Sets one attribute the way `h` does. */
export function set(element, name, value) {
  if (name.startsWith('on') && typeof value === 'function') element.addEventListener(name.slice(2), value);
  else if (name === 'data') Object.assign(element.dataset, value);
  // Properties through the CSSOM: the policy forbids style attributes, not this.
  else if (name === 'style') for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  else if (name === 'value') element.value = value ?? '';
  else if (name === 'checked' || name === 'disabled' || name === 'indeterminate') element[name] = Boolean(value);
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : value);
}

/** Adds children; lists are flattened, `null`, `undefined` and `false` are nothing. */
export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Makes these the only children. */
export function put(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

/** Writes a text only where it differs: a live figure must not disturb a selection or a screen reader for nothing. */
export function say(element, text) {
  const words = String(text ?? '');
  if (element.textContent !== words) element.textContent = words;
}

/** Sets an attribute only where it differs. */
export function mark(element, name, value) {
  const now = element.getAttribute(name);
  const next = value === null || value === undefined || value === false ? null : value === true ? '' : String(value);
  if (now === next) return;
  if (next === null) element.removeAttribute(name);
  else element.setAttribute(name, next);
}

/**
 * Brings the children of `parent` in line with `items`, keeping the elements of those that stay: `make(item)` returns
 * `{element, update(item)}`. Whatever else is in `parent` goes.
 */
export function keyed(parent, items, keyOf, make) {
  const rows = parent.rows ?? new Map();
  const next = new Map();
  let at = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const row = rows.get(key) ?? make(item);
    row.update(item);
    if (row.element === at) at = at.nextSibling;
    else parent.insertBefore(row.element, at);
    next.set(key, row);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
  for (const [key, row] of rows) if (!next.has(key)) row.close?.();
  parent.rows = next;
}

/** Collects what must end when a view closes. */
export function scope() {
  let ends = [];
  return {
    isOpen: true,
    add(end) {
      ends.push(end);
      return end;
    },
    every(ms, act) {
      const timer = setInterval(act, ms);
      ends.push(() => clearInterval(timer));
    },
    listen(target, kind, act, options) {
      target.addEventListener(kind, act, options);
      ends.push(() => target.removeEventListener(kind, act, options));
    },
    close() {
      this.isOpen = false;
      for (const end of ends.reverse()) end();
      ends = [];
    },
  };
}

/** An id for `for`, `aria-labelledby` and the like. */
let ids = 0;
export const freshId = (name) => `${name}-${++ids}`;
