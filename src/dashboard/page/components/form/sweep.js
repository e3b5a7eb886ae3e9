// Inputs that vary: a list of values for each, and a task for every combination of them.

import { h, keyed } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { icon } from '../ui/icons.js';
import { sweepAxis } from './sweep-axis.js';

/**
 * `{element, read(), sizes(), complain(pointer, message)}`. `choices` are `{address, words, input, item}`; what is chosen is kept in
 * `kept.axes`. `read` gives `[{address, texts}]` and throws `FieldError`; `sizes` how many values each input has that varies.
 */
export function sweepFields(kept, choices, changed) {
  const varied = choices.filter(({ input }) => input.kind !== 'file' && input.kind !== 'json');
  kept.axes = (kept.axes ?? []).filter((axis) => axis.address === '' || varied.some(({ address }) => address === axis.address));
  const list = h('div', { class: 'axes' });
  const axes = new Map();
  const more = h(
    'button',
    { type: 'button', class: 'quiet', data: { test: 'vary' }, onclick: add },
    icon('submit', 16),
    h('span', {}, t('sweep.add')),
  );

  function add() {
    const axis = { address: '', text: '', chosen: [] };
    kept.axes.push(axis);
    draw();
    axes.get(axis).focus();
  }
  function remove(axis) {
    kept.axes.splice(kept.axes.indexOf(axis), 1);
    draw();
    (axes.get(kept.axes.at(-1)) ?? { focus: () => more.focus() }).focus();
  }
  function draw() {
    keyed(
      list,
      kept.axes,
      (axis) => axis,
      (axis) => {
        const made = sweepAxis(axis, varied, { changed: draw, remove: () => remove(axis) });
        axes.set(axis, made);
        return { ...made, close: () => axes.delete(axis) };
      },
    );
    const taken = new Set(kept.axes.map(({ address }) => address));
    for (const made of axes.values()) made.bar(taken);
    for (const { address, item } of varied) item.vary(taken.has(address));
    more.hidden = kept.axes.length >= varied.length || taken.has('');
    changed();
  }
  draw();
  const chosen = () => kept.axes.filter((axis) => axis.address !== '').map((axis) => axes.get(axis));
  return {
    element: h('div', { class: 'stack sweep', data: { test: 'sweep' } }, list, varied.length > 0 && more),
    read: () => chosen().map((axis) => axis.read()),
    sizes: () => chosen().map((axis) => axis.size()),
    /** Whether a problem of the server was one of a value here; then it is told beside it. */
    complain: (pointer, message) => [...axes.values()].find((axis) => axis.complain(pointer, message)) ?? null,
  };
}
