// Switch that enables or disables an instance.

import { call } from '../../base/api.js';
import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { known, readInstances } from '../../live/store.js';
import { toast, toastError } from '../ui/toast.js';

/** `{element, update(instance)}`. A disabled instance finishes its current task. */
export function enableSwitch(first) {
  const input = h('input', {
    type: 'checkbox',
    role: 'switch',
    class: 'switch',
    checked: first.enabled,
    'aria-label': t('instance.switch.label', { id: first.id }),
  });
  input.addEventListener('change', async () => {
    const enabled = input.checked;
    input.disabled = true;
    try {
      const { history: _history, ...updated } = await call('PUT', `instances/${encodeURIComponent(first.id)}`, {
        body: { enabled },
      });
      const instance = known.instances?.find((item) => item.id === updated.id);
      if (instance) Object.assign(instance, updated);
      input.checked = updated.enabled;
      const key = updated.enabled
        ? 'instance.enabled'
        : enabled
          ? 'instance.serverDisabled'
          : updated.busy
            ? 'instance.draining'
            : 'instance.disabled';
      toast(updated.enabled === enabled ? 'good' : 'bad', t(key, { id: updated.id }));
    } catch (error) {
      input.checked = !enabled;
      toastError(error);
    } finally {
      input.disabled = false;
    }
    readInstances();
  });
  return { element: input, update: (next) => !input.disabled && (input.checked = next.enabled) };
}
