// Small things that say a state: always a word beside the colour.

import { h, mark, say } from '../../base/dom.js';
import { has, t } from '../../base/i18n.js';

/** A task's status. */
export function statusBadge(status) {
  const word = h('span', {});
  const element = h('span', { class: 'badge' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word);
  const update = (next) => {
    mark(element, 'data-status', next);
    say(word, t(`status.${next}`));
  };
  update(status);
  return { element, update };
}

/** `up`, `suspect`, `down`, `draining`, and `off` for one that is disabled and idle. */
export function phaseOf(instance) {
  if (!instance.enabled && !(instance.phase === 'draining' && instance.busy)) return 'off';
  return instance.phase;
}

/** An instance's state. */
export function phaseBadge(instance) {
  const word = h('span', {});
  const element = h('span', { class: 'badge' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word);
  const update = (next) => {
    const phase = phaseOf(next);
    mark(element, 'data-phase', phase === 'up' && next.busy ? 'busy' : phase);
    say(word, t(phase === 'up' ? (next.busy ? 'phase.busy' : 'phase.idle') : `phase.${phase}`));
  };
  update(instance);
  return { element, update };
}

/** A bar of 0–100. `label` names it for screen readers. */
export function bar(label) {
  const inner = h('div', { class: 'bar-fill' });
  const element = h(
    'div',
    { class: 'bar', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-label': label },
    inner,
  );
  const update = (percent, state) => {
    mark(element, 'aria-valuenow', percent);
    mark(element, 'data-state', state);
    inner.style.setProperty('--at', `${percent}%`);
  };
  return { element, update };
}

/** Used memory of an instance's first device. */
export function memoryBar(device) {
  const share = device.vramTotal > 0 ? (device.vramTotal - device.vramFree) / device.vramTotal : 0;
  const inner = h('div', { class: 'bar-fill', style: { '--at': `${Math.round(share * 100)}%` } });
  return h('div', { class: 'bar memory', data: { state: share > 0.92 ? 'full' : 'fine' }, 'aria-hidden': 'true' }, inner);
}

/** What an error's type means, in the language of the page; the word itself where there are no words for it. */
export const failureName = (type) => (has(`failure.${type}`) ? t(`failure.${type}`) : type);
