// A task's life: accepted, each attempt, the end; and a line that shows how much of it was waiting.

import { h, mark, put, say } from '../../base/dom.js';
import { clock, duration, wholeTime } from '../../base/format.js';
import { has, t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { isEnded } from '../../live/store.js';
import { failureName } from '../ui/badges.js';
import { whyItWaits } from '../ui/panels.js';
import { ranMs, waitedMs } from './task-row.js';

/** `{element, update(task)}`; the steps are made anew only when one changed: a link in them may have the focus. */
export function timeline() {
  const parts = share();
  const steps = h('ol', { class: 'timeline' });
  let drawn = '';
  return {
    element: h('div', { class: 'life' }, parts.element, steps),
    update(task) {
      parts.update(task);
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
      put(steps, stepsOf(task));
    },
  };
}

function stepsOf(task) {
  const steps = [
    step('done', t('life.accepted'), task.queuedAt, [
      t('life.by', { name: task.owner }),
      task.priority !== 'normal' && t(`priority.${task.priority}`),
    ]),
  ];
  const attempts = task.attempts ?? [];
  for (const attempt of attempts) steps.push(attemptStep(attempt));
  // Of an attempt that is on its way the task says more than the record.
  const isNew = task.attempt > 0 && !attempts.some((item) => item.attempt === task.attempt);
  if (task.startedAt && (isNew || attempts.length === 0)) {
    steps.push(step('done', t('life.started', { n: task.attempt }), task.startedAt, [instanceLink(task.instanceId)]));
  }
  if (task.status === 'pending')
    steps.push(
      step('now', task.waitingFor ? t('life.waits') : t('status.pending'), null, [
        task.waitingFor && whyItWaits(task.waitingFor),
      ]),
    );
  if (task.status === 'running')
    steps.push(step('now', t('life.runs'), null, [t('nodes.done', { done: task.nodesDone, all: task.nodesTotal })]));
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
  const isBad = attempt.outcome && attempt.outcome !== 'completed';
  const kind = isBad ? (attempt.outcome === 'cancelled' || attempt.outcome === 'released' ? 'cancelled' : 'failed') : 'done';
  return step(kind, t('life.attempt', { n: attempt.attempt }), attempt.startedAt, [
    instanceLink(attempt.instanceId),
    took,
    isBad && outcomeWords(attempt.outcome),
    isBad && attempt.error?.message,
  ]);
}

const outcomeWords = (word) => (has(`outcome.${word}`) ? t(`outcome.${word}`) : failureName(word));

const instanceLink = (id) => id && h('a', { class: 'mono', href: link(['instances', id]) }, id);

function step(kind, title, time, notes) {
  const words = notes.filter(Boolean);
  return h(
    'li',
    { data: { kind } },
    h('span', { class: 'step-dot', 'aria-hidden': 'true' }),
    h(
      'div',
      {},
      h('strong', {}, title),
      words.length
        ? h(
            'p',
            { class: 'sub' },
            words.map((word, at) => [at > 0 && ' · ', word]),
          )
        : null,
    ),
    time && h('time', { datetime: time, title: wholeTime(time) }, clock(time)),
  );
}

/** Waiting and running as parts of one line. */
function share() {
  const ranPart = h('span', { class: 'share-ran' });
  const bar = h('div', { class: 'share-line', 'aria-hidden': 'true' }, h('span', { class: 'share-waited' }), ranPart);
  const [waitedWords, ranWords] = [h('dd', {}), h('dd', {})];
  const words = h(
    'dl',
    { class: 'share-words' },
    h('div', {}, h('dt', {}, t('column.waited')), waitedWords),
    h('div', {}, h('dt', {}, t('column.ran')), ranWords),
  );
  return {
    element: h('div', { class: 'share' }, bar, words),
    update(task) {
      const waited = waitedMs(task);
      const ran = task.startedAt ? ranMs(task) : 0;
      const part = waited + ran > 0 ? Math.round((waited / (waited + ran)) * 100) : 0;
      bar.style.setProperty('--waited', `${part}%`);
      mark(bar, 'data-whole', part === 0 || part === 100);
      mark(ranPart, 'data-status', task.status);
      say(waitedWords, duration(waited));
      say(ranWords, task.startedAt ? duration(ran) : '–');
    },
  };
}
