// The switch that takes an instance out of service and back.

import { call } from '../../base/api.js';
import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { known, readInstances } from '../../live/store.js';
import { toast, toastError } from '../ui/toast.js';

/** `{element, update(instance)}`; what runs on an instance that is switched off still ends. */
export function enableSwitch(first) {
  const input = h('input', {
    type: 'checkbox',
    role: 'switch',
    class: 'switch',
    checked: first.enabled,
    'aria-label': t('instance.enabled', { id: first.id }),
  });
  input.addEventListener('change', async () => {
    const enabled = input.checked;
    input.disabled = true;
    try {
      const { history: _history, ...now } = await call('PUT', `instances/${encodeURIComponent(first.id)}`, { body: { enabled } });
      const mine = known.instances?.find((item) => item.id === now.id);
      if (mine) Object.assign(mine, now);
      input.checked = now.enabled;
      const key = now.enabled ? 'instance.on' : enabled ? 'instance.server_off' : now.busy ? 'instance.draining' : 'instance.off';
      toast(now.enabled === enabled ? 'good' : 'bad', t(key, { id: now.id }));
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
