// Panels that fill a view while it has no data: loading, failed, empty.

import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { errorText } from './error-text.js';
import { icon } from './icons.js';

/** A panel for data that could not be loaded, with a button that calls `retry`. */
export function failedPanel(error, retry) {
  return h(
    'div',
    { class: 'panel state', role: 'alert' },
    icon('alert', 28),
    h('h2', {}, t('state.failed')),
    h('p', {}, errorText(error)),
    error.requestId && h('p', { class: 'faint mono' }, `${t('requestId')} ${error.requestId}`),
    h('button', { type: 'button', onclick: retry }, t('tryAgain')),
  );
}

/** A panel for an empty list or a missing item. */
export function emptyPanel(iconName, title, text, ...actions) {
  return h(
    'div',
    { class: 'panel state' },
    icon(iconName, 28),
    h('h2', {}, title),
    h('p', {}, text),
    h('div', { class: 'row' }, actions),
  );
}

/** Placeholder of `rows` grey bars while data is loading. */
export function loadingPanel(rows = 4) {
  const bars = Array.from({ length: rows }, () => h('div', { class: 'skeleton' }));
  return h(
    'div',
    { class: 'panel stack', 'aria-busy': 'true', role: 'status' },
    h('span', { class: 'hidden' }, t('state.loading')),
    bars,
  );
}
