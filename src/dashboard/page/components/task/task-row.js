// One task in a list: status, picture, progress, where, how long. Keeps its elements and writes only what changed.

import { h, mark, put, say } from '../../base/dom.js';
import { clock, duration, now, shortId, wholeTime } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { hasSmall, isPicture } from '../../base/file-links.js';
import { link } from '../../base/router.js';
import { isEnded } from '../../live/store.js';
import { bar, failureName, statusBadge } from '../ui/badges.js';
import { icon } from '../ui/icons.js';
import { smallPicture } from '../files/thumbnail.js';

/** The columns, for a list's head. */
export const taskHead = () =>
  h(
    'div',
    { class: 'tr th', role: 'row' },
    ['task', 'status', 'progress', 'instance', 'created', 'waited', 'ran'].map((name) =>
      h('span', { role: 'columnheader', class: `c-${name}` }, t(`column.${name}`)),
    ),
  );

/** `{element, update(task)}` */
export function taskRow(first) {
  const badge = statusBadge(first.status);
  const progress = bar(t('progress.of', { name: shortId(first.id) }));
  const thumb = h('span', { class: 'thumb', 'aria-hidden': 'true' });
  const label = h('span', { class: 'sub' });
  const percent = h('span', { class: 'percent' });
  const why = h('span', { class: 'sub' });
  const instance = h('span', { role: 'cell', class: 'c-instance mono' });
  const waited = h('span', { role: 'cell', class: 'c-waited' });
  const ran = h('span', { role: 'cell', class: 'c-ran' });
  const element = h(
    'div',
    { class: 'tr', role: 'row', data: { id: first.id } },
    h(
      'span',
      { role: 'cell', class: 'c-task' },
      thumb,
      h(
        'span',
        { class: 'names' },
        h('a', { class: 'mono row-link', href: link(['tasks', first.id]), title: first.id }, shortId(first.id)),
        label,
      ),
    ),
    h('span', { role: 'cell', class: 'c-status' }, badge.element),
    h('span', { role: 'cell', class: 'c-progress' }, h('span', { class: 'progress-line' }, progress.element, percent), why),
    instance,
    h('span', { role: 'cell', class: 'c-created', title: wholeTime(first.createdAt) }, clock(first.createdAt)),
    waited,
    ran,
  );
  let picture = null;
  return {
    element,
    update(task) {
      badge.update(task.status);
      mark(element, 'data-status', task.status);
      const percentNow = task.status === 'completed' ? 100 : task.progress;
      progress.update(percentNow, task.status);
      say(percent, task.status === 'pending' ? '' : `${percentNow} %`);
      say(why, whyNow(task));
      mark(why, 'title', task.error?.message);
      say(label, labelOf(task));
      mark(label, 'title', label.textContent);
      say(instance, task.instanceId);
      say(waited, duration(waitedMs(task)));
      say(ran, task.startedAt ? duration(ranMs(task)) : '');
      const image = (task.result?.outputs ?? []).find(
        (item) => item.fileId && !item.deleted && (hasSmall(item) || isPicture(item)),
      );
      // By its id: a signed link differs each time.
      const next = image?.fileId ?? signOf(task);
      if (next === picture) return;
      picture = next;
      put(thumb, image ? smallPicture(image, 40, { sign: 18, width: 40, height: 40 }) : icon(next, 18));
    },
  };
}

function labelOf(task) {
  const marks = [];
  if (task.workflowName) marks.push(task.workflowName);
  if (task.batchId) marks.push(t('fact.batch', { at: task.batchIndex + 1 }));
  if (task.priority !== 'normal') marks.push(t(`priority.${task.priority}`));
  if (task.attempt > 1) marks.push(t('attempt.n', { n: task.attempt, max: task.maxAttempts }));
  return marks.join(' · ');
}

function whyNow(task) {
  if (task.cancelRequested) return t('cancel.asked');
  if (task.error && task.status !== 'completed' && task.status !== 'cancelled') return failureName(task.error.type);
  if (task.status === 'running' && task.nodesTotal) return t('nodes.done', { done: task.nodesDone ?? 0, all: task.nodesTotal });
  return '';
}

export function waitedMs(task) {
  const end = task.startedAt ?? task.finishedAt;
  return (end ? Date.parse(end) : now()) - Date.parse(task.createdAt);
}

export function ranMs(task) {
  return (task.finishedAt ? Date.parse(task.finishedAt) : now()) - Date.parse(task.startedAt);
}

const KINDS = { image: 'image', video: 'video', audio: 'audio', text: 'text' };

function signOf(task) {
  const outputs = task.result?.outputs ?? [];
  if (outputs.length) return KINDS[outputs[0].kind] ?? 'file';
  if (task.status === 'running') return 'play';
  if (task.status === 'pending') return 'clock';
  return isEnded(task.status) && task.status !== 'completed' ? (task.status === 'failed' ? 'alert' : 'none') : 'file';
}
