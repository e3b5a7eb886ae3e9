// One input that varies, and its values: one a line, or chosen from what the instances offer.

import { freshId, h, mark, put, say } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { isNumber } from '../../base/json.js';
import { numberFault } from './input-schema.js';
import { FieldError } from './field.js';
import { icon } from '../ui/icons.js';

const step = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** `{element, update(), read(), size(), bar(taken), complain(pointer, message), focus()}`; `kept` is `{address, text, chosen}`. */
export function sweepAxis(kept, varied, { changed, remove }) {
  const which = h(
    'select',
    { id: freshId('axis') },
    h('option', { value: '' }, t('sweep.none')),
    varied.map(({ address, words }) => h('option', { value: address }, words)),
  );
  which.value = kept.address;
  const values = h('div', { class: 'axis-values' });
  const error = h('p', { id: `${which.id}-error`, class: 'form-error', role: 'alert' });
  const end = h(
    'button',
    { type: 'button', class: 'quiet square', title: t('sweep.remove'), 'aria-label': t('sweep.remove'), onclick: remove },
    icon('cancel', 16),
  );
  let texts = () => [];
  which.addEventListener('change', () => {
    Object.assign(kept, { address: which.value, text: '', chosen: [] });
    build();
    changed();
  });
  const told = () => {
    tell('');
    changed();
  };
  function tell(message) {
    say(error, message);
    for (const item of values.querySelectorAll('textarea')) mark(item, 'aria-invalid', message ? 'true' : null);
  }
  function build() {
    tell('');
    const found = varied.find(({ address }) => address === kept.address);
    const kind = found?.input.kind;
    const make = !found ? nothing : kind === 'choice' ? options : kind === 'boolean' ? both : lines;
    const made = make(kept, found?.input, told, error.id);
    put(values, made.element);
    texts = made.texts;
  }
  build();
  return {
    element: h(
      'div',
      { class: 'axis' },
      h('div', { class: 'field' }, h('label', { for: which.id }, t('sweep')), h('div', { class: 'axis-head' }, which, end)),
      values,
      error,
    ),
    update() {},
    read() {
      try {
        const found = texts();
        if (found.length === 0) throw new FieldError(t('sweep.empty'));
        return { address: kept.address, texts: found };
      } catch (problem) {
        if (!(problem instanceof FieldError)) throw problem;
        tell(problem.message);
        throw Object.assign(problem, { focus: () => (values.querySelector('textarea, input') ?? which).focus() });
      }
    },
    size() {
      try {
        return texts().length;
      } catch {
        return 0;
      }
    },
    /** An input varies once. */
    bar(taken) {
      for (const option of which.options) option.disabled = option.value !== kept.address && taken.has(option.value);
    },
    complain(pointer, message) {
      const isMine = kept.address !== '' && `${pointer}/`.startsWith(`/sweep/${step(kept.address)}/`);
      if (isMine) tell(message);
      return isMine;
    },
    focus: () => which.focus(),
  };
}

const nothing = () => ({ element: null, texts: () => [] });

/** What is typed: numbers as they were typed, everything else as text. */
function lines(kept, input, told, errorId) {
  const isNumeric = input.kind === 'number' || input.kind === 'seed';
  const id = freshId('values');
  const area = h('textarea', {
    id,
    class: isNumeric ? 'mono' : null,
    rows: 3,
    value: kept.text,
    spellcheck: 'false',
    'aria-describedby': errorId,
  });
  area.addEventListener('input', () => {
    kept.text = area.value;
    told();
  });
  const parts = () => area.value.split(isNumeric ? /[\s,;，；]+/ : /\n/).map((part) => part.trim());
  return {
    element: h('div', { class: 'field' }, h('label', { for: id }, t(isNumeric ? 'sweep.numbers' : 'sweep.values')), area),
    texts: () =>
      parts()
        .filter(Boolean)
        .map((part) => {
          if (!isNumeric) return JSON.stringify(part);
          const fault = isNumber(part) ? numberFault(part, input.said) : t('field.number');
          if (fault) throw new FieldError(`${fault} (${part})`);
          return part;
        }),
  };
}

/** Those of the offered ones that are checked, in their order. */
function options(kept, input, told) {
  const boxes = input.said.options.map((option) => {
    const json = JSON.stringify(option);
    const box = h('input', { type: 'checkbox', value: json, checked: kept.chosen.includes(json) });
    box.addEventListener('change', () => {
      kept.chosen = boxes.filter(({ box }) => box.checked).map(({ json }) => json);
      told();
    });
    return { json, box, element: h('label', { class: 'check' }, box, String(option)) };
  });
  return {
    element: h(
      'div',
      { class: 'axis-options', role: 'group', 'aria-label': t('sweep.options') },
      boxes.map(({ element }) => element),
    ),
    texts: () => boxes.filter(({ box }) => box.checked).map(({ json }) => json),
  };
}

const both = () => ({ element: h('p', { class: 'sub' }, t('sweep.both')), texts: () => ['true', 'false'] });
