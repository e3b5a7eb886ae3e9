// Short notices at the edge of the page, announced by screen readers.

import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { errorText } from './error-text.js';
import { icon } from './icons.js';

const SHOWN_MS = 6_000;
const SHOWN_MAX = 4;
const container = h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' });

/** The element that holds the toasts; the shell places it. */
export const toastContainer = () => container;

/** Shows a toast. `kind` is `good`, `bad` or `plain`; `action` is `{label, act}`. */
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
  // A repeated toast replaces the earlier one.
  for (const old of [...container.children]) if (old.textContent === element.textContent) old.remove();
  container.append(element);
  while (container.children.length > SHOWN_MAX) container.firstChild.remove();
  const expire = () => (element.matches(':hover, :focus-within') ? setTimeout(expire, 1_000) : close());
  setTimeout(expire, kind === 'bad' ? 2 * SHOWN_MS : SHOWN_MS);
}

/** Shows an API error as a toast. */
export const toastError = (error) => toast('bad', errorText(error));
