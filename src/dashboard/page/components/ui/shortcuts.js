// Keys: `g` and a letter goes somewhere, `/` finds, `?` tells about it. Never while somebody types.

import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { go, link } from '../../base/router.js';
import { dialog } from './toast.js';

/** Between `g` and the letter. */
const CHORD_MS = 1_500;

export function shortcuts(scope, places) {
  let armedAt = -Infinity;
  scope.listen(document, 'keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]'))
      return;
    const isArmed = performance.now() - armedAt < CHORD_MS;
    armedAt = -Infinity;
    const place = isArmed && places.find((item) => item.key === event.key);
    if (place) go(link(place.path));
    else if (event.key === 'g') armedAt = performance.now();
    else if (event.key === '/') document.querySelector('[type=search]')?.focus();
    else if (event.key === '?') tell(places);
    else return;
    event.preventDefault();
  });
}

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function tell(places) {
  const rows = [...places.map((place) => [['g', place.key], t(place.name)]), [['/'], t('keys.find')], [['?'], t('keys.help')]];
  dialog(t('keys'), (close) =>
    h(
      'div',
      { class: 'stack' },
      h(
        'dl',
        { class: 'keys' },
        rows.map(([keys, words]) => [
          h(
            'dt',
            {},
            keys.map((key) => h('kbd', {}, key)),
          ),
          h('dd', {}, words),
        ]),
      ),
      h('div', { class: 'row end' }, h('button', { type: 'button', autofocus: true, onclick: () => close(null) }, t('close'))),
    ),
  );
}
