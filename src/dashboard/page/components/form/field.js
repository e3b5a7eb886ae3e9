// Form field of one workflow input. Its value is JSON text: an unchanged input is not sent, and a number is sent
// exactly as typed.

import { freshId, h, setAttr, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { JsonError, isNumber, parseJson } from '../../base/json.js';
import { boundsHint, numberError } from './input-schema.js';
import { fileField } from './file-field.js';
import { icon } from '../ui/icons.js';

/**
 * Returns `{element, jsonText(), setVaried(isVaried), showError(message), focus()}`. `state` is the draft of the field,
 * `{text, fileId, filename, isRandom}`, and is updated on input. `jsonText()` returns the JSON text of the value, or
 * `null` if it equals the value in the workflow; throws `FieldError` if the input is invalid.
 */
export function field(node, input, state, changed) {
  const id = freshId('input');
  const error = h('p', { id: `${id}-error`, class: 'form-error', role: 'alert' });
  const tooltip = input.schema?.tooltip ?? '';
  const hint = boundsHint(input);
  const hintId = hint || tooltip ? `${id}-hint` : null;
  const control = (CONTROLS[input.kind] ?? json)(id, input, state, changed);
  const element = h(
    'div',
    { class: 'field', data: { kind: input.kind, input: `${node.id}.${input.name}` } },
    h('label', { for: id, title: tooltip || null }, input.name),
    control.element,
    hintId &&
      h('span', { id: hintId, class: hint ? 'sub' : 'hidden' }, hint, tooltip && h('span', { class: 'hidden' }, ` ${tooltip}`)),
    error,
  );
  const focusable = control.input ?? control.element;
  const focus = control.focus ?? (() => focusable.focus());
  const variedNote = h('span', { class: 'sub' }, t('sweep.fieldNote'));
  variedNote.hidden = true;
  element.append(variedNote);
  setAttr(element, 'data-long', control.isLong);
  setAttr(focusable, 'aria-describedby', hintId);
  return {
    element,
    jsonText() {
      try {
        const value = control.jsonText();
        showError('');
        return value === input.raw && !input.isNew ? null : value;
      } catch (problem) {
        if (!(problem instanceof FieldError)) throw problem;
        showError(problem.message);
        throw Object.assign(problem, { focus });
      }
    },
    showError,
    /** Disables the field while the input is part of a sweep. */
    setVaried(isVaried) {
      variedNote.hidden = !isVaried;
      control.element.inert = isVaried;
      setAttr(element, 'data-varied', isVaried);
      if (isVaried) showError('');
    },
    focus,
  };

  function showError(message) {
    setText(error, message);
    setAttr(focusable, 'aria-invalid', message ? 'true' : null);
    setAttr(focusable, 'aria-describedby', [hintId, message && `${id}-error`].filter(Boolean).join(' ') || null);
  }
}

/** The user typed an invalid value. */
export class FieldError extends Error {
  /** Focuses the field with the value. */
  focus() {}
}

/** Characters that fit into a narrow field. */
const NARROW_CHARS = 20;

const CONTROLS = { text, line, number, seed, boolean, file, choice };

function trackInput(input, state, changed) {
  input.addEventListener('input', () => {
    state.text = input.value;
    changed();
  });
  return input;
}

function text(id, input, state, changed) {
  const rows = Math.min(10, Math.max(3, Math.ceil(input.value.length / 60), input.value.split('\n').length));
  const element = trackInput(
    h('textarea', { id, rows, value: state.text ?? input.value, spellcheck: 'false' }),
    state,
    changed,
  );
  // A textarea normalizes line ends to `\n`, so compare with the normalized value.
  const untouched = input.value.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
  return { element, jsonText: () => (element.value === untouched ? input.raw : JSON.stringify(element.value)) };
}

function line(id, input, state, changed) {
  const element = trackInput(
    h('input', { id, value: state.text ?? input.value, spellcheck: 'false', autocapitalize: 'none' }),
    state,
    changed,
  );
  const isLong = input.value.length > NARROW_CHARS;
  return { element, isLong, jsonText: () => (element.value === input.value ? input.raw : JSON.stringify(element.value)) };
}

function number(id, input, state, changed) {
  const element = trackInput(
    h('input', { id, class: 'mono', inputmode: 'decimal', value: state.text ?? input.value, autocomplete: 'off' }),
    state,
    changed,
  );
  return {
    element,
    jsonText() {
      if (element.value === input.value) return input.raw;
      const value = element.value.trim();
      if (!isNumber(value)) throw new FieldError(t('field.number'));
      // Only typed values are checked here; the server validates the workflow's own.
      const error = numberError(value, input.schema);
      if (error) throw new FieldError(error);
      return value;
    },
  };
}

/** A number, or `"random"`: the server then draws the seed. */
function seed(id, input, state, changed) {
  const numberInput = number(id, input, state, changed);
  const dice = h(
    'button',
    {
      type: 'button',
      class: 'toggle',
      title: t('seed.random'),
      'aria-label': t('seed.random'),
      onclick: () => setRandom(!state.isRandom),
    },
    icon('dice', 18),
  );
  const setRandom = (isRandom) => {
    state.isRandom = isRandom;
    numberInput.element.disabled = isRandom;
    setAttr(dice, 'aria-pressed', String(isRandom));
    changed();
  };
  numberInput.element.disabled = Boolean(state.isRandom);
  setAttr(dice, 'aria-pressed', String(Boolean(state.isRandom)));
  return {
    element: h('div', { class: 'joined' }, numberInput.element, dice),
    input: numberInput.element,
    jsonText: () => (state.isRandom ? '"random"' : numberInput.jsonText()),
  };
}

function boolean(id, input, state, changed) {
  const element = h('input', {
    id,
    type: 'checkbox',
    role: 'switch',
    class: 'switch',
    checked: (state.text ?? String(input.value)) === 'true',
  });
  element.addEventListener('change', () => {
    state.text = String(element.checked);
    changed();
  });
  return { element, jsonText: () => String(element.checked) };
}

/**
 * A choice among the options that instances offer. The workflow's own value stays selectable even if no instance offers
 * it.
 */
function choice(id, input, state, changed) {
  const offered = input.schema.options.map((option) => ({ json: JSON.stringify(option), label: String(option) }));
  const find = (text) => offered.find(({ json }) => json === text) ?? offered.find(({ label }) => label === text);
  const add = (json, label) => offered.unshift({ json, label: t('field.notOffered', { value: label }) }) && offered[0];
  const own = find(String(input.value)) ?? add(input.raw, String(input.value));
  const chosen = state.text === undefined ? own : (find(state.text) ?? add(JSON.stringify(state.text), state.text));
  const element = h(
    'select',
    { id },
    offered.map((option) => h('option', { value: option.json }, option.label)),
  );
  element.value = chosen.json;
  element.addEventListener('change', () => {
    state.text = element.value;
    changed();
  });
  const isLong = chosen.label.length > NARROW_CHARS;
  return { element, isLong, jsonText: () => (element.value === own.json ? input.raw : element.value) };
}

function file(id, input, state, changed) {
  const control = fileField(id, input, state, changed);
  return {
    ...control,
    jsonText: () => (state.fileId && state.fileId !== input.fileId ? JSON.stringify({ $file: state.fileId }) : input.raw),
  };
}

/** Lists, objects and null, edited as JSON. */
function json(id, input, state, changed) {
  const element = trackInput(
    h('textarea', { id, class: 'mono', rows: 2, value: state.text ?? input.value, spellcheck: 'false' }),
    state,
    changed,
  );
  return {
    element,
    jsonText() {
      try {
        parseJson(element.value);
      } catch (error) {
        if (error instanceof JsonError) throw new FieldError(t('field.json'));
        throw error;
      }
      const isDirective = /^\s*\{/.test(element.value);
      return element.value === input.value ? input.raw : isDirective ? `{"$literal":${element.value}}` : element.value;
    },
  };
}
