// One input of a workflow as a form field. Says what is wanted as JSON text: what nobody touched is not sent at all, and a number
// is sent as it was typed.

import { freshId, h, mark, say } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { JsonError, isNumber, parseJson } from '../../base/json.js';
import { hintOf, numberFault } from './input-schema.js';
import { fileField } from './file-field.js';
import { icon } from '../ui/icons.js';

/**
 * `{element, wish(), vary(isVaried), complain(message), focus()}`; `kept` is `{text, fileId, filename, isRandom}` of an earlier visit and is kept up to date.
 * `wish()` is the JSON text of the value, or `null` for "as in the workflow"; it throws `FieldError` on what is no value.
 */
export function field(node, input, kept, changed) {
  const id = freshId('input');
  const error = h('p', { id: `${id}-error`, class: 'form-error', role: 'alert' });
  const tooltip = input.said?.tooltip ?? '';
  const hint = hintOf(input);
  const about = hint || tooltip ? `${id}-hint` : null;
  const made = (MAKERS[input.kind] ?? json)(id, input, kept, changed);
  const element = h(
    'div',
    { class: 'field', data: { kind: input.kind, input: `${node.id}.${input.name}` } },
    h('label', { for: id, title: tooltip || null }, input.name),
    made.element,
    about &&
      h('span', { id: about, class: hint ? 'sub' : 'hidden' }, hint, tooltip && h('span', { class: 'hidden' }, ` ${tooltip}`)),
    error,
  );
  const focusable = made.input ?? made.element;
  const focus = made.focus ?? (() => focusable.focus());
  const varies = h('span', { class: 'sub' }, t('sweep.varied'));
  varies.hidden = true;
  element.append(varies);
  mark(element, 'data-long', made.isLong);
  mark(focusable, 'aria-describedby', about);
  return {
    element,
    wish() {
      try {
        const wish = made.wish();
        complain('');
        return wish === input.raw ? null : wish;
      } catch (problem) {
        if (!(problem instanceof FieldError)) throw problem;
        complain(problem.message);
        throw Object.assign(problem, { focus });
      }
    },
    complain,
    /** An input that varies has its values elsewhere. */
    vary(isVaried) {
      varies.hidden = !isVaried;
      made.element.inert = isVaried;
      mark(element, 'data-varied', isVaried);
      if (isVaried) complain('');
    },
    focus,
  };

  function complain(message) {
    say(error, message);
    mark(focusable, 'aria-invalid', message ? 'true' : null);
    mark(focusable, 'aria-describedby', [about, message && `${id}-error`].filter(Boolean).join(' ') || null);
  }
}

/** What a person typed is no value. */
export class FieldError extends Error {
  /** Goes to where it was typed. */
  focus() {}
}

/** Letters that a narrow field shows. */
const SHORT = 20;

const MAKERS = { text, line, number, seed, boolean, file, choice };

function listening(input, kept, changed) {
  input.addEventListener('input', () => {
    kept.text = input.value;
    changed();
  });
  return input;
}

function text(id, input, kept, changed) {
  const rows = Math.min(10, Math.max(3, Math.ceil(input.value.length / 60), input.value.split('\n').length));
  const element = listening(h('textarea', { id, rows, value: kept.text ?? input.value, spellcheck: 'false' }), kept, changed);
  // A browser makes every line end `\n`: compare with what it made of the value, not with the value.
  const untouched = input.value.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
  return { element, wish: () => (element.value === untouched ? input.raw : JSON.stringify(element.value)) };
}

function line(id, input, kept, changed) {
  const element = listening(
    h('input', { id, value: kept.text ?? input.value, spellcheck: 'false', autocapitalize: 'none' }),
    kept,
    changed,
  );
  const isLong = input.value.length > SHORT;
  return { element, isLong, wish: () => (element.value === input.value ? input.raw : JSON.stringify(element.value)) };
}

function number(id, input, kept, changed) {
  const element = listening(
    h('input', { id, class: 'mono', inputmode: 'decimal', value: kept.text ?? input.value, autocomplete: 'off' }),
    kept,
    changed,
  );
  return {
    element,
    wish() {
      if (element.value === input.value) return input.raw;
      const value = element.value.trim();
      if (!isNumber(value)) throw new FieldError(t('field.number'));
      // What the workflow itself says is the server's to judge.
      const fault = numberFault(value, input.said);
      if (fault) throw new FieldError(fault);
      return value;
    },
  };
}

/** A number, or one that the server draws. */
function seed(id, input, kept, changed) {
  const plain = number(id, input, kept, changed);
  const dice = h(
    'button',
    {
      type: 'button',
      class: 'toggle',
      title: t('seed.random'),
      'aria-label': t('seed.random'),
      onclick: () => turn(!kept.isRandom),
    },
    icon('dice', 18),
  );
  const turn = (isRandom) => {
    kept.isRandom = isRandom;
    plain.element.disabled = isRandom;
    mark(dice, 'aria-pressed', String(isRandom));
    changed();
  };
  plain.element.disabled = Boolean(kept.isRandom);
  mark(dice, 'aria-pressed', String(Boolean(kept.isRandom)));
  return {
    element: h('div', { class: 'joined' }, plain.element, dice),
    input: plain.element,
    wish: () => (kept.isRandom ? '"random"' : plain.wish()),
  };
}

function boolean(id, input, kept, changed) {
  const element = h('input', {
    id,
    type: 'checkbox',
    role: 'switch',
    class: 'switch',
    checked: (kept.text ?? String(input.value)) === 'true',
  });
  element.addEventListener('change', () => {
    kept.text = String(element.checked);
    changed();
  });
  return { element, wish: () => String(element.checked) };
}

/** One of what the instances offer; what the workflow says stays among them, whether it is offered or not. */
function choice(id, input, kept, changed) {
  const offered = input.said.options.map((option) => ({ json: JSON.stringify(option), words: String(option) }));
  const find = (text) => offered.find(({ json }) => json === text) ?? offered.find(({ words }) => words === text);
  const add = (json, words) => offered.unshift({ json, words: t('field.not_offered', { value: words }) }) && offered[0];
  const own = find(String(input.value)) ?? add(input.raw, String(input.value));
  const chosen = kept.text === undefined ? own : (find(kept.text) ?? add(JSON.stringify(kept.text), kept.text));
  const element = h(
    'select',
    { id },
    offered.map((option) => h('option', { value: option.json }, option.words)),
  );
  element.value = chosen.json;
  element.addEventListener('change', () => {
    kept.text = element.value;
    changed();
  });
  const isLong = chosen.words.length > SHORT;
  return { element, isLong, wish: () => (element.value === own.json ? input.raw : element.value) };
}

function file(id, input, kept, changed) {
  const made = fileField(id, input, kept, changed);
  return {
    ...made,
    wish: () => (kept.fileId && kept.fileId !== input.fileId ? JSON.stringify({ $file: kept.fileId }) : input.raw),
  };
}

/** Lists, objects and null, as JSON. */
function json(id, input, kept, changed) {
  const element = listening(
    h('textarea', { id, class: 'mono', rows: 2, value: kept.text ?? input.value, spellcheck: 'false' }),
    kept,
    changed,
  );
  return {
    element,
    wish() {
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
