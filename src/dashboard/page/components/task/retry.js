// Retries an ended task. Older servers have no such endpoint; the button is then hidden.

import { call } from '../../base/api.js';
import { t } from '../../base/i18n.js';
import { toast } from '../ui/toast.js';

let isSupported = true;

/** Whether the server supports retry, as far as known. */
export const canRetry = () => isSupported;

/** Puts the task back into the queue under the same id. */
export async function retry(id) {
  try {
    await call('POST', `tasks/${encodeURIComponent(id)}/retry`);
    toast('good', t('retry.done'));
  } catch (error) {
    if (error.status !== 404 && error.status !== 405) throw error;
    isSupported = false;
    toast('bad', t('retry.unsupported'));
  }
}
