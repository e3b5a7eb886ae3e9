// Status badges and bars. A state is always named in text, never by colour alone.

import { h, setAttr, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

/** Badge of a task's status: `{element, update(status)}`. */
export function statusBadge(status) {
  const label = h('span', {});
  const element = h('span', { class: 'badge' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), label);
  const update = (next) => {
    setAttr(element, 'data-status', next);
    setText(label, t(`status.${next}`));
  };
  update(status);
  return { element, update };
}

/** Returns the phase to show: `up`, `suspect`, `quarantined`, `down`, `draining`, or `off` if the instance is disabled and idle. */
export function phaseOf(instance) {
  if (!instance.enabled && !(instance.phase === 'draining' && instance.busy)) return 'off';
  return instance.phase;
}

/** Badge of an instance's state: `{element, update(instance)}`. */
export function phaseBadge(instance) {
  const label = h('span', {});
  const element = h('span', { class: 'badge' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), label);
  const update = (next) => {
    const phase = phaseOf(next);
    setAttr(element, 'data-phase', phase === 'up' && next.busy ? 'busy' : phase);
    setText(label, t(phase === 'up' ? (next.busy ? 'phase.busy' : 'phase.idle') : `phase.${phase}`));
  };
  update(instance);
  return { element, update };
}

/** Progress bar of 0–100: `{element, update(percent, state)}`. `label` is its accessible name. */
export function bar(label) {
  const inner = h('div', { class: 'bar-fill' });
  const element = h(
    'div',
    { class: 'bar', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100, 'aria-label': label },
    inner,
  );
  const update = (percent, state) => {
    setAttr(element, 'aria-valuenow', percent);
    setAttr(element, 'data-state', state);
    inner.style.setProperty('--at', `${percent}%`);
  };
  return { element, update };
}

/** Bar of the used memory of an instance's first device. */
export function memoryBar(device) {
  const share = device.vramTotal > 0 ? (device.vramTotal - device.vramFree) / device.vramTotal : 0;
  const inner = h('div', { class: 'bar-fill', style: { '--at': `${Math.round(share * 100)}%` } });
  return h('div', { class: 'bar memory', data: { state: share > 0.92 ? 'full' : 'fine' }, 'aria-hidden': 'true' }, inner);
}
