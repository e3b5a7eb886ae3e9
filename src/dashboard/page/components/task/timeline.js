// Timeline of a task: accepted, each attempt, the end; and a bar of the time spent waiting and running.

import { h, setAttr, setChildren, setText } from '../../base/dom.js';
import { timeOfDay, duration, fullTime } from '../../base/format.js';
import { has, t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { isEnded } from '../../live/store.js';
import { failureName } from './failure.js';
import { waitingReason } from './waiting-reason.js';
import { ranMs, waitedMs } from './task-row.js';

/** `{element, update(task)}`. Steps are redrawn only on changes, because a link in them may have the focus. */
export function timeline() {
  const times = timeBar();
  const steps = h('ol', { class: 'timeline' });
  let drawn = '';
  return {
    element: h('div', { class: 'timeline-panel' }, times.element, steps),
    update(task) {
      times.update(task);
      const key = JSON.stringify([
        task.status,
        task.attempt,
        task.attempts,
        task.startedAt,
        task.finishedAt,
        task.nodesDone,
        task.nodesTotal,
        task.waitingFor,
        task.error?.type,
      ]);
      if (key === drawn) return;
      drawn = key;
      setChildren(steps, stepsOf(task));
    },
  };
}

function stepsOf(task) {
  const steps = [
    step('done', t('timeline.accepted'), task.queuedAt, [
      t('timeline.owner', { name: task.owner }),
      task.priority !== 'normal' && t(`priority.${task.priority}`),
    ]),
  ];
  const attempts = task.attempts ?? [];
  for (const attempt of attempts) steps.push(attemptStep(attempt));
  // The current attempt may not be recorded in `attempts` yet.
  const isNew = task.attempt > 0 && !attempts.some((item) => item.attempt === task.attempt);
  if (task.startedAt && (isNew || attempts.length === 0)) {
    steps.push(step('done', t('timeline.started', { n: task.attempt }), task.startedAt, [instanceLink(task.instanceId)]));
  }
  if (task.status === 'pending')
    steps.push(
      step('now', t('status.pending'), null, [task.waitingFor && t('waiting', { reason: waitingReason(task.waitingFor) })]),
    );
  if (task.status === 'running')
    steps.push(step('now', t('status.running'), null, [t('nodes.done', { done: task.nodesDone, all: task.nodesTotal })]));
  if (isEnded(task.status))
    steps.push(
      step(task.status, t(`status.${task.status}`), task.finishedAt, [
        task.error && task.status === 'failed' && failureName(task.error.type),
      ]),
    );
  return steps;
}

function attemptStep(attempt) {
  const took = attempt.endedAt ? duration(Date.parse(attempt.endedAt) - Date.parse(attempt.startedAt)) : null;
  const isUnsuccessful = attempt.outcome && attempt.outcome !== 'completed';
  const kind = isUnsuccessful
    ? attempt.outcome === 'cancelled' || attempt.outcome === 'released'
      ? 'cancelled'
      : 'failed'
    : 'done';
  return step(kind, t('timeline.attempt', { n: attempt.attempt }), attempt.startedAt, [
    instanceLink(attempt.instanceId),
    took,
    isUnsuccessful && outcomeName(attempt.outcome),
    isUnsuccessful && attempt.error?.message,
  ]);
}

const outcomeName = (outcome) => (has(`outcome.${outcome}`) ? t(`outcome.${outcome}`) : failureName(outcome));

const instanceLink = (id) => id && h('a', { class: 'mono', href: link(['instances', id]) }, id);

function step(kind, title, time, notes) {
  const shown = notes.filter(Boolean);
  return h(
    'li',
    { data: { kind } },
    h('span', { class: 'step-dot', 'aria-hidden': 'true' }),
    h(
      'div',
      {},
      h('strong', {}, title),
      shown.length
        ? h(
            'p',
            { class: 'sub' },
            shown.map((note, at) => [at > 0 && ' · ', note]),
          )
        : null,
    ),
    time && h('time', { datetime: time, title: fullTime(time) }, timeOfDay(time)),
  );
}

/** Bar of waiting and running time. */
function timeBar() {
  const ranPart = h('span', { class: 'time-ran' });
  const bar = h('div', { class: 'time-line', 'aria-hidden': 'true' }, h('span', { class: 'time-waited' }), ranPart);
  const [waitedWords, ranWords] = [h('dd', {}), h('dd', {})];
  const labels = h(
    'dl',
    { class: 'time-labels' },
    h('div', {}, h('dt', {}, t('column.waited')), waitedWords),
    h('div', {}, h('dt', {}, t('column.ran')), ranWords),
  );
  return {
    element: h('div', { class: 'time-bar' }, bar, labels),
    update(task) {
      const waited = waitedMs(task);
      const ran = task.startedAt ? ranMs(task) : 0;
      const part = waited + ran > 0 ? Math.round((waited / (waited + ran)) * 100) : 0;
      bar.style.setProperty('--waited', `${part}%`);
      setAttr(bar, 'data-whole', part === 0 || part === 100);
      setAttr(ranPart, 'data-status', task.status);
      setText(waitedWords, duration(waited));
      setText(ranWords, task.startedAt ? duration(ran) : '–');
    },
  };
}
