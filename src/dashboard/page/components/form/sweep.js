// Sweep: lists of values for some inputs, and one task for every combination.

import { h, reconcile } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { icon } from '../ui/icons.js';
import { sweepAxis } from './sweep-axis.js';

/**
 * Returns `{element, read(), sizes(), showError(pointer, message)}`. `choices` are `{address, label, input, item}`. The
 * sweep is stored in `state.axes`. `read` returns `[{address, texts}]` and throws `FieldError`; `sizes` returns the
 * number of values per axis.
 */
export function sweepFields(state, choices, changed) {
  const varied = choices.filter(({ input }) => input.kind !== 'file' && input.kind !== 'json');
  state.axes = (state.axes ?? []).filter(
    (axis) => axis.address === '' || varied.some(({ address }) => address === axis.address),
  );
  const list = h('div', { class: 'axes' });
  const axes = new Map();
  const addButton = h(
    'button',
    { type: 'button', class: 'quiet', data: { test: 'vary' }, onclick: add },
    icon('submit', 16),
    h('span', {}, t('sweep.add')),
  );

  function add() {
    const axis = { address: '', text: '', chosen: [] };
    state.axes.push(axis);
    draw();
    axes.get(axis).focus();
  }
  function remove(axis) {
    state.axes.splice(state.axes.indexOf(axis), 1);
    draw();
    (axes.get(state.axes.at(-1)) ?? { focus: () => addButton.focus() }).focus();
  }
  function draw() {
    reconcile(
      list,
      state.axes,
      (axis) => axis,
      (axis) => {
        const row = sweepAxis(axis, varied, { changed: draw, remove: () => remove(axis) });
        axes.set(axis, row);
        return { ...row, close: () => axes.delete(axis) };
      },
    );
    const taken = new Set(state.axes.map(({ address }) => address));
    for (const row of axes.values()) row.disableTaken(taken);
    for (const { address, item } of varied) item.setVaried(taken.has(address));
    addButton.hidden = state.axes.length >= varied.length || taken.has('');
    changed();
  }
  draw();
  const chosen = () => state.axes.filter((axis) => axis.address !== '').map((axis) => axes.get(axis));
  return {
    element: h('div', { class: 'stack sweep', data: { test: 'sweep' } }, list, varied.length > 0 && addButton),
    read: () => chosen().map((axis) => axis.read()),
    sizes: () => chosen().map((axis) => axis.size()),
    /** Shows a problem of the server at the axis that it points to. Returns that axis, or `null`. */
    showError: (pointer, message) => [...axes.values()].find((axis) => axis.showError(pointer, message)) ?? null,
  };
}
