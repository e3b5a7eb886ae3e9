// Details of a task: instance, attempts, priority, batch, workflow, seeds, warnings.

import { h, setChildren } from '../../base/dom.js';
import { approxDuration } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { warningText } from '../ui/error-text.js';

/** Whether the task waits and has an estimated start. */
export const hasEta = ({ status, etaMs }) => status === 'pending' && etaMs !== undefined && etaMs !== null;

/** Draws the details into `container`. Redraws only on changes, so that a text selection is kept. */
export function drawDetails(container, task) {
  const rows = [
    ['column.task', h('span', { class: 'mono wrap' }, task.id)],
    [
      'column.instance',
      task.instanceId ? h('a', { class: 'mono', href: link(['instances', task.instanceId]) }, task.instanceId) : '–',
    ],
    ['details.attempt', t(task.attempt > 0 ? 'attempt.ofMax' : 'attempt.none', { n: task.attempt, max: task.maxAttempts })],
    ['details.priority', t(`priority.${task.priority}`)],
    task.status === 'pending' &&
      task.queuePosition !== undefined && [
        'details.position',
        hasEta(task) ? `${task.queuePosition + 1} · ${approxDuration(task.etaMs)}` : String(task.queuePosition + 1),
      ],
    task.eligibleInstances?.length > 0 && ['details.eligible', task.eligibleInstances.join(', ')],
    task.batchId && [
      'batch',
      h('a', { href: link(['tasks'], { batch: task.batchId }) }, t('details.batchIndex', { at: task.batchIndex + 1 })),
    ],
    task.workflowName && [
      'workflow',
      h(
        'a',
        { href: link(['workflows', task.workflowName], { version: task.workflowVersion }) },
        `${task.workflowName}@${task.workflowVersion}`,
      ),
    ],
    task.timeoutMs && ['details.timeout', `${task.timeoutMs / 1000} ${t('unit.s')}`],
    task.startBy && ['details.startBy', new Date(task.startBy).toLocaleString()],
    ...Object.entries(task.resolved?.seeds ?? {}).map(([name, seed]) => [
      name,
      h('span', { class: 'mono' }, String(seed)),
      true,
    ]),
    ...(task.warnings ?? []).map((warning) => ['details.warning', warningText(warning)]),
  ].filter(Boolean);
  const key = JSON.stringify(rows.map(([name, value]) => [name, value.textContent ?? value]));
  if (container.drawn === key) return;
  container.drawn = key;
  setChildren(
    container,
    h('h2', {}, t('details')),
    h(
      'dl',
      { class: 'facts' },
      rows.map(([name, value, isSeed]) =>
        h('div', {}, h('dt', {}, isSeed ? t('details.seed', { name }) : t(name)), h('dd', {}, value)),
      ),
    ),
    task.metadata && h('details', {}, h('summary', {}, t('details.metadata')), h('pre', { tabindex: 0 }, task.metadata)),
  );
}
