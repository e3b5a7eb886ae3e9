// Short news at the edge, read out by screen readers, and questions that must be answered.

import { freshId, h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { sentence } from './panels.js';
import { icon } from './icons.js';

const SHOWN_MS = 6_000;
const SHOWN_MAX = 4;
const shelf = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });

export const toastShelf = () => shelf;

/** `kind` is `good`, `bad` or `plain`; `action` is `{label, act}`. */
export function toast(kind, text, action) {
  const close = () => element.remove();
  const element = h(
    'div',
    { class: 'toast', data: { kind } },
    icon(kind === 'bad' ? 'alert' : 'check'),
    h('p', {}, text),
    action && h('button', { type: 'button', class: 'quiet', onclick: () => (close(), action.act()) }, action.label),
    h('button', { type: 'button', class: 'quiet square', 'aria-label': t('close'), onclick: close }, icon('cancel', 16)),
  );
  // The same news again takes the place of the old.
  for (const old of [...shelf.children]) if (old.textContent === element.textContent) old.remove();
  shelf.append(element);
  while (shelf.children.length > SHOWN_MAX) shelf.firstChild.remove();
  const leave = () => (element.matches(':hover, :focus-within') ? setTimeout(leave, 1_000) : close());
  setTimeout(leave, kind === 'bad' ? 2 * SHOWN_MS : SHOWN_MS);
}

/** An error of the API as a toast. */
export const toastError = (error) => toast('bad', sentence(error));

/** A dialog over the page; resolves with what `close(value)` is called with, or `null`. */
export function dialog(title, build) {
  return new Promise((resolve) => {
    const id = freshId('dialog');
    const element = h('dialog', { 'aria-labelledby': id });
    let answer = null;
    const close = (value) => {
      answer = value;
      element.close();
    };
    element.append(h('h2', { id }, title), build(close));
    element.addEventListener('close', () => {
      element.remove();
      resolve(answer);
    });
    // A press on the ground outside closes, as Escape does.
    element.addEventListener('click', (event) => {
      const box = element.getBoundingClientRect();
      const isInside =
        event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      // A key on a button is a click at 0, 0.
      if (event.target === element && !isInside) close(null);
    });
    // Another view is no answer to the question.
    const leave = () => close(null);
    addEventListener('hashchange', leave);
    element.addEventListener('close', () => removeEventListener('hashchange', leave));
    document.body.append(element);
    element.showModal();
  });
}

/** Asks before something that cannot be undone. */
export function confirm(title, text, yes) {
  return dialog(title, (close) =>
    h(
      'div',
      { class: 'stack' },
      h('p', {}, text),
      h(
        'div',
        { class: 'row end' },
        h('button', { type: 'button', autofocus: true, onclick: () => close(false) }, t('no')),
        h('button', { type: 'button', class: 'danger', onclick: () => close(true) }, yes),
      ),
    ),
  );
}

/** Puts a text onto the clipboard and says so; without the right to (plain http), shows it to be copied by hand. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('good', t('copied'));
  } catch {
    await dialog(t('copy'), () =>
      h('textarea', { class: 'mono', rows: 8, readonly: true, value: text, autofocus: true, 'aria-label': t('copy') }),
    );
  }
}
