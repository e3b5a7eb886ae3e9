// Panel of a batch, above the list of its tasks: progress, counts, and cancelling it.

import { call } from '../../base/api.js';
import { h, setAttr, setChildren, setText } from '../../base/dom.js';
import { number } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { resource } from '../../live/resource.js';
import { STATUSES } from '../../live/store.js';
import { subscribe } from '../../live/pub-sub.js';
import { bar } from '../ui/badges.js';
import { errorText } from '../ui/error-text.js';
import { icon } from '../ui/icons.js';
import { confirm } from '../ui/dialog.js';
import { toast, toastError } from '../ui/toast.js';

/** Returns the panel. It stays up to date until `scope` closes. */
export function batchPanel(id, scope) {
  const progress = bar(t('column.progress'));
  const counts = h('p', { class: 'sub' });
  const title = h('strong', {});
  const errorLine = h('p', { class: 'form-error', role: 'alert' });
  const path = `batches/${encodeURIComponent(id)}`;
  const cancelButton = h(
    'button',
    { type: 'button', class: 'danger', data: { test: 'cancel-batch' }, onclick: cancel },
    icon('cancel', 18),
    t('batch.cancel'),
  );
  cancelButton.hidden = true;
  const element = h(
    'section',
    { class: 'panel stack', 'aria-label': t('batch'), data: { test: 'batch' } },
    h(
      'div',
      { class: 'row between' },
      h('span', { class: 'names' }, title, counts),
      h('span', { class: 'row' }, cancelButton, h('a', { class: 'button', href: link(['tasks']) }, t('tasks.all'))),
    ),
    progress.element,
    errorLine,
  );
  const source = resource(
    scope,
    (signal) => call('GET', path, { signal }),
    ({ data, error }) => {
      setText(errorLine, data === null && error ? errorText(error) : '');
      if (data === null) return;
      const open = data.counts.pending + data.counts.running;
      setText(title, t('batch.of', { n: data.count, count: number(data.count) }));
      setChildren(
        counts,
        STATUSES.filter((status) => data.counts[status]).map((status, at) => [
          at > 0 && ' · ',
          `${t(`status.${status}`)} ${number(data.counts[status])}`,
        ]),
      );
      progress.update(data.progress, open ? 'running' : data.counts.failed ? 'failed' : 'completed');
      setAttr(element, 'data-live', open > 0);
      cancelButton.hidden = open === 0;
    },
  );
  async function cancel() {
    if (!(await confirm(t('batch.cancel.question'), t('batch.cancel.question.text'), t('batch.cancel')))) return;
    cancelButton.disabled = true;
    try {
      const { cancelled } = await call('DELETE', path);
      toast('good', t('batch.cancelled', { n: cancelled }));
    } catch (error) {
      toastError(error);
    }
    cancelButton.disabled = false;
    source.refresh();
  }
  scope.add(subscribe('statuses', () => source.refreshSoon(1_500)));
  source.refresh();
  return element;
}
