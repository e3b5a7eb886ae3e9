// What is known of a task beside its course: where, how often, when, from what.

import { h, put } from '../../base/dom.js';
import { about } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { warningWords } from '../ui/panels.js';

/** Whether somebody can tell when it begins. */
export const hasEta = ({ status, etaMs }) => status === 'pending' && etaMs !== undefined && etaMs !== null;

/** Fills `place`, and only when something changed: a selection must last. */
export function drawFacts(place, task) {
  const facts = [
    ['column.task', h('span', { class: 'mono wrap' }, task.id)],
    [
      'column.instance',
      task.instanceId ? h('a', { class: 'mono', href: link(['instances', task.instanceId]) }, task.instanceId) : '–',
    ],
    ['fact.attempt', t(task.attempt > 0 ? 'attempt.n' : 'attempt.none', { n: task.attempt, max: task.maxAttempts })],
    ['fact.priority', t(`priority.${task.priority}`)],
    task.status === 'pending' &&
      task.queuePosition !== undefined && [
        'fact.position',
        hasEta(task) ? `${task.queuePosition + 1} · ${about(task.etaMs)}` : String(task.queuePosition + 1),
      ],
    task.eligibleInstances?.length > 0 && ['fact.eligible', task.eligibleInstances.join(', ')],
    task.batchId && [
      'batch',
      h('a', { href: link(['tasks'], { batch: task.batchId }) }, t('fact.batch', { at: task.batchIndex + 1 })),
    ],
    task.workflowName && [
      'workflow',
      h(
        'a',
        { href: link(['workflows', task.workflowName], { version: task.workflowVersion }) },
        `${task.workflowName}@${task.workflowVersion}`,
      ),
    ],
    task.timeoutMs && ['fact.timeout', `${task.timeoutMs / 1000} ${t('unit.s')}`],
    task.startBy && ['fact.startBy', new Date(task.startBy).toLocaleString()],
    ...Object.entries(task.resolved?.seeds ?? {}).map(([name, seed]) => [
      name,
      h('span', { class: 'mono' }, String(seed)),
      true,
    ]),
    ...(task.warnings ?? []).map((warning) => ['fact.warning', warningWords(warning)]),
  ].filter(Boolean);
  const key = JSON.stringify(facts.map(([name, value]) => [name, value.textContent ?? value]));
  if (place.drawn === key) return;
  place.drawn = key;
  put(
    place,
    h('h2', {}, t('facts')),
    h(
      'dl',
      { class: 'facts' },
      facts.map(([name, value, isName]) =>
        h('div', {}, h('dt', {}, isName ? t('fact.seed', { name }) : t(name)), h('dd', {}, value)),
      ),
    ),
    task.metadata && h('details', {}, h('summary', {}, t('fact.metadata')), h('pre', { tabindex: 0 }, task.metadata)),
  );
}
