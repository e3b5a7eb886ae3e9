// A batch above the list of its tasks: how far it is, and its end.

import { call } from '../../base/api.js';
import { h, mark, put, say } from '../../base/dom.js';
import { number } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { resource } from '../../live/resource.js';
import { watch } from '../../live/topics.js';
import { bar } from '../ui/badges.js';
import { sentence } from '../ui/panels.js';
import { icon } from '../ui/icons.js';
import { confirm, toast, toastError } from '../ui/toast.js';

const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled'];

/** A panel that keeps itself true while `scope` is open. */
export function batchPanel(id, scope) {
  const progress = bar(t('column.progress'));
  const counts = h('p', { class: 'sub' });
  const title = h('strong', {});
  const fault = h('p', { class: 'form-error', role: 'alert' });
  const path = `batches/${encodeURIComponent(id)}`;
  const end = h(
    'button',
    { type: 'button', class: 'danger', data: { test: 'cancel-batch' }, onclick: cancel },
    icon('cancel', 18),
    t('batch.cancel'),
  );
  end.hidden = true;
  const element = h(
    'section',
    { class: 'panel stack', 'aria-label': t('batch'), data: { test: 'batch' } },
    h(
      'div',
      { class: 'row between' },
      h('span', { class: 'names' }, title, counts),
      h('span', { class: 'row' }, end, h('a', { class: 'button', href: link(['tasks']) }, t('recent.all'))),
    ),
    progress.element,
    fault,
  );
  const source = resource(
    scope,
    (signal) => call('GET', path, { signal }),
    ({ data, error }) => {
      say(fault, data === null && error ? sentence(error) : '');
      if (data === null) return;
      const live = data.counts.pending + data.counts.running;
      say(title, t('batch.of', { n: data.count, count: number(data.count) }));
      put(
        counts,
        STATUSES.filter((status) => data.counts[status]).map((status, at) => [
          at > 0 && ' · ',
          `${t(`status.${status}`)} ${number(data.counts[status])}`,
        ]),
      );
      progress.update(data.progress, live ? 'running' : data.counts.failed ? 'failed' : 'completed');
      mark(element, 'data-live', live > 0);
      end.hidden = live === 0;
    },
  );
  async function cancel() {
    if (!(await confirm(t('batch.cancel.ask'), t('batch.cancel.text'), t('batch.cancel')))) return;
    end.disabled = true;
    try {
      const { cancelled } = await call('DELETE', path);
      toast('good', t('batch.cancelled', { n: cancelled }));
    } catch (error) {
      toastError(error);
    }
    end.disabled = false;
    source.refresh();
  }
  scope.add(watch('statuses', () => source.refreshSoon(1_500)));
  source.refresh();
  return element;
}
