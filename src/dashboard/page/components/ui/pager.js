// Goes from page to page.

import { h, say } from '../../base/dom.js';
import { number } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { icon } from './icons.js';

/** `go(page)` is called with the number wanted, from 1; hidden while one page is all. */
export function pager(go) {
  let page = 1;
  const words = h('span', {});
  const before = h(
    'button',
    { type: 'button', class: 'square', 'aria-label': t('page.before'), onclick: () => go(page - 1) },
    icon('left', 18),
  );
  const after = h(
    'button',
    { type: 'button', class: 'square', 'aria-label': t('page.after'), onclick: () => go(page + 1) },
    icon('right', 18),
  );
  const element = h('nav', { class: 'pager', 'aria-label': t('page') }, before, words, after);
  element.hidden = true;
  return {
    element,
    update(now, last) {
      page = now;
      element.hidden = last <= 1 && now === 1;
      before.disabled = now <= 1;
      after.disabled = now >= last;
      say(words, t('page.of', { page: number(now), last: number(Math.max(now, last)) }));
    },
  };
}
