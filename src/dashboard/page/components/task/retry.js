// Retrying an ended task, where the server can: an older one has no such path, and then there is no such button.

import { call } from '../../base/api.js';
import { t } from '../../base/i18n.js';
import { toast } from '../ui/toast.js';

let can = true;

/** Whether the server is not known to be unable to. */
export const canRetry = () => can;

/** Puts the task back into the queue, under its own id. */
export async function retry(id) {
  try {
    await call('POST', `tasks/${encodeURIComponent(id)}/retry`);
    toast('good', t('retry.done'));
  } catch (error) {
    if (error.status !== 404 && error.status !== 405) throw error;
    can = false;
    toast('bad', t('retry.cannot'));
  }
}
