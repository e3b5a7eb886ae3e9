// Options of a submit: priority, number of tasks, limits.

import { freshId, h, setAttr } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { FieldError } from './field.js';

/** Most tasks per request. */
export const COUNT_MAX = 1_000;

/** `{element, times(), read()}`; `read` throws `FieldError`. Input is stored in `state`. */
export function runOptions(state, changed) {
  const number = (name, min, max) => {
    const input = h('input', {
      id: freshId(name),
      class: 'mono',
      inputmode: 'numeric',
      value: state[name] ?? '',
      placeholder: t(`option.${name}.default`),
      autocomplete: 'off',
    });
    input.addEventListener('input', () => {
      state[name] = input.value.trim();
      setAttr(input, 'aria-invalid', read() === null ? 'true' : null);
      changed();
    });
    const read = () =>
      input.value.trim() === ''
        ? undefined
        : /^\d+$/.test(input.value.trim()) && Number(input.value) >= min && Number(input.value) <= max
          ? Number(input.value)
          : null;
    return { read, element: h('div', { class: 'field' }, h('label', { for: input.id }, t(`option.${name}`)), input) };
  };
  const priority = h(
    'select',
    { id: freshId('priority') },
    ['high', 'normal', 'low'].map((word) => h('option', { value: word }, t(`priority.${word}`))),
  );
  priority.value = state.priority ?? 'normal';
  priority.addEventListener('change', () => {
    state.priority = priority.value;
    changed();
  });
  const count = number('count', 1, COUNT_MAX);
  const attempts = number('maxAttempts', 1, 10);
  const timeout = number('timeout', 1, 2_592_000);
  const value = (item, name) => {
    const found = item.read();
    if (found === null) throw new FieldError(t(`option.${name}.invalid`));
    return found;
  };
  return {
    element: h(
      'div',
      { class: 'fields' },
      h('div', { class: 'field' }, h('label', { for: priority.id }, t('details.priority')), priority),
      count.element,
      attempts.element,
      timeout.element,
    ),
    /** Number of tasks per combination, or `null` while it is invalid. */
    times: () => (count.read() === undefined ? 1 : count.read()),
    /** Returns the members of the request body. */
    read() {
      const times = value(count, 'count');
      const seconds = value(timeout, 'timeout');
      const all = {
        count: times === 1 ? undefined : times,
        priority: priority.value === 'normal' ? undefined : priority.value,
        maxAttempts: value(attempts, 'maxAttempts'),
        timeoutMs: seconds === undefined ? undefined : seconds * 1000,
      };
      return Object.fromEntries(Object.entries(all).filter(([, item]) => item !== undefined));
    },
  };
}
