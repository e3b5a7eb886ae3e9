// How a task is to be run, beside its workflow: priority, how often, limits.

import { freshId, h, mark } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { FieldError } from './field.js';

/** As many as one request may make. */
export const COUNT_MAX = 1_000;

/** `{element, read()}`; `read` throws `FieldError`. What is typed is kept in `kept`. */
export function optionFields(kept, changedOption) {
  const number = (name, least, most) => {
    const input = h('input', {
      id: freshId(name),
      class: 'mono',
      inputmode: 'numeric',
      value: kept[name] ?? '',
      placeholder: t(`option.${name}.default`),
      autocomplete: 'off',
    });
    input.addEventListener('input', () => {
      kept[name] = input.value.trim();
      mark(input, 'aria-invalid', read() === null ? 'true' : null);
      changedOption();
    });
    const read = () =>
      input.value.trim() === ''
        ? undefined
        : /^\d+$/.test(input.value.trim()) && Number(input.value) >= least && Number(input.value) <= most
          ? Number(input.value)
          : null;
    return { read, element: h('div', { class: 'field' }, h('label', { for: input.id }, t(`option.${name}`)), input) };
  };
  const priority = h(
    'select',
    { id: freshId('priority') },
    ['high', 'normal', 'low'].map((word) => h('option', { value: word }, t(`priority.${word}`))),
  );
  priority.value = kept.priority ?? 'normal';
  priority.addEventListener('change', () => {
    kept.priority = priority.value;
    changedOption();
  });
  const count = number('count', 1, COUNT_MAX);
  const attempts = number('maxAttempts', 1, 10);
  const timeout = number('timeout', 1, 2_592_000);
  const value = (item, name) => {
    const found = item.read();
    if (found === null) throw new FieldError(t(`option.${name}.bad`));
    return found;
  };
  return {
    element: h(
      'div',
      { class: 'fields' },
      h('div', { class: 'field' }, h('label', { for: priority.id }, t('fact.priority')), priority),
      count.element,
      attempts.element,
      timeout.element,
    ),
    /** How often each combination, or `null` while that is no number. */
    times: () => (count.read() === undefined ? 1 : count.read()),
    /** What the body says beside workflow and params. */
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
