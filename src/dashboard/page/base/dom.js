// DOM helpers. Text always becomes a text node; untrusted text is never parsed as markup.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Creates an HTML element: `h('a', {class: 'x', href: '#/', onclick: f, data: {id: 1}, style: {'--p': '4%'}}, 'text',
 * [more], null)`. An attribute that is `null`, `undefined` or `false` is omitted, `true` becomes an empty one, a
 * function becomes a listener.
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Creates an SVG element; arguments as for `h`. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) setProp(element, name, value);
  append(element, children);
  return element;
}

/** Sets one attribute as `h` does. */
export function setProp(element, name, value) {
  if (name.startsWith('on') && typeof value === 'function') element.addEventListener(name.slice(2), value);
  else if (name === 'data') Object.assign(element.dataset, value);
  // Set through the CSSOM, because the Content Security Policy forbids style attributes.
  else if (name === 'style') for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  else if (name === 'value') element.value = value ?? '';
  else if (name === 'checked' || name === 'disabled' || name === 'indeterminate') element[name] = Boolean(value);
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : value);
}

/** Appends children. Lists are flattened; `null`, `undefined` and `false` are skipped. */
export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** Replaces all children. */
export function setChildren(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

/** Sets the text only if it differs, so that live values do not disturb a selection or a screen reader. */
export function setText(element, text) {
  const next = String(text ?? '');
  if (element.textContent !== next) element.textContent = next;
}

/** Sets an attribute only if it differs. */
export function setAttr(element, name, value) {
  const now = element.getAttribute(name);
  const next = value === null || value === undefined || value === false ? null : value === true ? '' : String(value);
  if (now === next) return;
  if (next === null) element.removeAttribute(name);
  else element.setAttribute(name, next);
}

/**
 * Makes the children of `parent` match `items` by key, and keeps the elements of items that stay. `make(item)` returns
 * `{element, update(item), close?()}`. Removes all other children.
 */
export function reconcile(parent, items, keyOf, make) {
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

/** Collects clean-up functions and runs them when a view closes. */
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

let ids = 0;
/** Returns a unique element id, for `for`, `aria-labelledby` and the like. */
export const freshId = (name) => `${name}-${++ids}`;
