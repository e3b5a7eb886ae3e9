// Keyboard shortcuts: `g` then a letter opens a view, `/` focuses the search, `?` lists them. Ignored while typing.

import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { go, link } from '../../base/router.js';
import { dialog } from './dialog.js';

/** Longest time between `g` and the letter. */
const CHORD_MS = 1_500;

/** Listens until `scope` closes. `views` are `{name, path, key}`. */
export function shortcuts(scope, views) {
  let armedAt = -Infinity;
  scope.listen(document, 'keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]'))
      return;
    const isArmed = performance.now() - armedAt < CHORD_MS;
    armedAt = -Infinity;
    const view = isArmed && views.find((item) => item.key === event.key);
    if (view) go(link(view.path));
    else if (event.key === 'g') armedAt = performance.now();
    else if (event.key === '/') document.querySelector('[type=search]')?.focus();
    else if (event.key === '?') showHelp(views);
    else return;
    event.preventDefault();
  });
}

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function showHelp(views) {
  const rows = [
    ...views.map((view) => [['g', view.key], t(view.name)]),
    [['/'], t('shortcuts.find')],
    [['?'], t('shortcuts.help')],
  ];
  dialog(t('shortcuts'), (close) =>
    h(
      'div',
      { class: 'stack' },
      h(
        'dl',
        { class: 'keys' },
        rows.map(([keys, label]) => [
          h(
            'dt',
            {},
            keys.map((key) => h('kbd', {}, key)),
          ),
          h('dd', {}, label),
        ]),
      ),
      h('div', { class: 'row end' }, h('button', { type: 'button', autofocus: true, onclick: () => close(null) }, t('close'))),
    ),
  );
}
