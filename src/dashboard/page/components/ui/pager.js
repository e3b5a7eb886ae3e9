// Pagination: previous and next page.

import { h, setText } from '../../base/dom.js';
import { number } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { icon } from './icons.js';

/** `{element, update(page, last)}`. Calls `go(page)`; pages are counted from 1. Hidden if there is only one page. */
export function pager(go) {
  let page = 1;
  const label = h('span', {});
  const previous = h(
    'button',
    { type: 'button', class: 'square', 'aria-label': t('page.previous'), onclick: () => go(page - 1) },
    icon('left', 18),
  );
  const next = h(
    'button',
    { type: 'button', class: 'square', 'aria-label': t('page.next'), onclick: () => go(page + 1) },
    icon('right', 18),
  );
  const element = h('nav', { class: 'pager', 'aria-label': t('page') }, previous, label, next);
  element.hidden = true;
  return {
    element,
    update(current, last) {
      page = current;
      element.hidden = last <= 1 && current === 1;
      previous.disabled = current <= 1;
      next.disabled = current >= last;
      setText(label, t('page.of', { page: number(current), last: number(Math.max(current, last)) }));
    },
  };
}
