// An axis of a sweep: an input and its values, typed one per line or selected from the options that instances offer.

import { freshId, h, setAttr, setChildren, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { isNumber, pointerStep } from '../../base/json.js';
import { numberError } from './input-schema.js';
import { FieldError } from './field.js';
import { icon } from '../ui/icons.js';

/**
 * Returns `{element, update(), read(), size(), disableTaken(taken), showError(pointer, message), focus()}`. `state` is
 * `{address, text, chosen}` and is updated on input.
 */
export function sweepAxis(state, varied, { changed, remove }) {
  const inputSelect = h(
    'select',
    { id: freshId('axis') },
    h('option', { value: '' }, t('sweep.choose')),
    varied.map(({ address, label }) => h('option', { value: address }, label)),
  );
  inputSelect.value = state.address;
  const values = h('div', { class: 'axis-values' });
  const error = h('p', { id: `${inputSelect.id}-error`, class: 'form-error', role: 'alert' });
  const removeButton = h(
    'button',
    { type: 'button', class: 'quiet square', title: t('sweep.remove'), 'aria-label': t('sweep.remove'), onclick: remove },
    icon('cancel', 16),
  );
  let texts = () => [];
  inputSelect.addEventListener('change', () => {
    Object.assign(state, { address: inputSelect.value, text: '', chosen: [] });
    build();
    changed();
  });
  const onInput = () => {
    setError('');
    changed();
  };
  function setError(message) {
    setText(error, message);
    for (const item of values.querySelectorAll('textarea')) setAttr(item, 'aria-invalid', message ? 'true' : null);
  }
  function build() {
    setError('');
    const found = varied.find(({ address }) => address === state.address);
    const kind = found?.input.kind;
    const make = !found ? noValues : kind === 'choice' ? checkboxes : kind === 'boolean' ? bothBooleans : textValues;
    const control = make(state, found?.input, onInput, error.id);
    setChildren(values, control.element);
    texts = control.texts;
  }
  build();
  return {
    element: h(
      'div',
      { class: 'axis' },
      h(
        'div',
        { class: 'field' },
        h('label', { for: inputSelect.id }, t('sweep')),
        h('div', { class: 'axis-head' }, inputSelect, removeButton),
      ),
      values,
      error,
    ),
    update() {},
    read() {
      try {
        const found = texts();
        if (found.length === 0) throw new FieldError(t('sweep.empty'));
        return { address: state.address, texts: found };
      } catch (problem) {
        if (!(problem instanceof FieldError)) throw problem;
        setError(problem.message);
        throw Object.assign(problem, { focus: () => (values.querySelector('textarea, input') ?? inputSelect).focus() });
      }
    },
    size() {
      try {
        return texts().length;
      } catch {
        return 0;
      }
    },
    /** Disables inputs that are used by another axis. */
    disableTaken(taken) {
      for (const option of inputSelect.options) option.disabled = option.value !== state.address && taken.has(option.value);
    },
    showError(pointer, message) {
      const isMine = state.address !== '' && `${pointer}/`.startsWith(`/sweep/${pointerStep(state.address)}/`);
      if (isMine) setError(message);
      return isMine;
    },
    focus: () => inputSelect.focus(),
  };
}

const noValues = () => ({ element: null, texts: () => [] });

/** Typed values: numbers exactly as typed, everything else as text. */
function textValues(state, input, onInput, errorId) {
  const isNumeric = input.kind === 'number' || input.kind === 'seed';
  const id = freshId('values');
  const area = h('textarea', {
    id,
    class: isNumeric ? 'mono' : null,
    rows: 3,
    value: state.text,
    spellcheck: 'false',
    'aria-describedby': errorId,
  });
  area.addEventListener('input', () => {
    state.text = area.value;
    onInput();
  });
  const parts = () => area.value.split(isNumeric ? /[\s,;，；]+/ : /\n/).map((part) => part.trim());
  return {
    element: h('div', { class: 'field' }, h('label', { for: id }, t(isNumeric ? 'sweep.numbers' : 'sweep.values')), area),
    texts: () =>
      parts()
        .filter(Boolean)
        .map((part) => {
          if (!isNumeric) return JSON.stringify(part);
          const error = isNumber(part) ? numberError(part, input.schema) : t('field.number');
          if (error) throw new FieldError(`${error} (${part})`);
          return part;
        }),
  };
}

/** Checked options, in the order of the schema. */
function checkboxes(state, input, onInput) {
  const boxes = input.schema.options.map((option) => {
    const json = JSON.stringify(option);
    const box = h('input', { type: 'checkbox', value: json, checked: state.chosen.includes(json) });
    box.addEventListener('change', () => {
      state.chosen = boxes.filter(({ box }) => box.checked).map(({ json }) => json);
      onInput();
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

const bothBooleans = () => ({ element: h('p', { class: 'sub' }, t('sweep.booleans')), texts: () => ['true', 'false'] });
