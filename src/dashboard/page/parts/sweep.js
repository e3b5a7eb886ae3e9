// One input with several values: a task for each of them.

import { freshId, h } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { isNumber } from '../base/json.js';
import { FieldError } from './field.js';

/** `{element, read()}`; `choices` are `{address, words, input}`. `read` gives `{address, text}` or `null`, and throws `FieldError`. */
export function sweepFields(kept, choices, changed) {
  const varied = choices.filter(({ input }) => input.kind !== 'file' && input.kind !== 'json');
  const which = h(
    'select',
    { id: freshId('sweep') },
    h('option', { value: '' }, t('sweep.none')),
    varied.map(({ address, words }) => h('option', { value: address }, words)),
  );
  if (varied.some(({ address }) => address === kept.sweep)) which.value = kept.sweep;
  const values = h('textarea', { id: freshId('values'), rows: 4, value: kept.values ?? '', spellcheck: 'false' });
  const list = h('div', { class: 'field' }, h('label', { for: values.id }, t('sweep.values')), values);
  list.hidden = which.value === '';
  which.addEventListener('change', () => {
    kept.sweep = which.value;
    list.hidden = which.value === '';
    changed();
  });
  values.addEventListener('input', () => {
    kept.values = values.value;
    changed();
  });
  return {
    element: h(
      'div',
      { class: 'stack', data: { test: 'sweep' } },
      h('div', { class: 'field' }, h('label', { for: which.id }, t('sweep')), which),
      list,
    ),
    read() {
      const chosen = varied.find(({ address }) => address === which.value);
      if (!chosen) return null;
      const lines = values.value
        .split('\n')
        .map((line) => line.trim())
        .filter(Boolean);
      if (lines.length === 0) throw new FieldError(t('sweep.empty'));
      const texts = lines.map((line) => valueOf(chosen.input, line));
      return { address: chosen.address, text: `{${JSON.stringify(chosen.address)}: [${texts.join(', ')}]}` };
    },
  };
}

/** A line as JSON of the kind that the input takes. */
function valueOf({ kind, said }, line) {
  if (kind === 'number' || kind === 'seed') {
    if (!isNumber(line)) throw new FieldError(`${t('field.number')} (${line})`);
    return line;
  }
  if (kind === 'boolean' && /^(true|false)$/.test(line)) return line;
  const option = kind === 'choice' && said.options.find((value) => String(value) === line);
  return JSON.stringify(option || line);
}
