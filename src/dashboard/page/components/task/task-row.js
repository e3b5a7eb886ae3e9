// Row of a task in a list. Keeps its elements and updates only what changed.

import { h, setAttr, setChildren, setText } from '../../base/dom.js';
import { timeOfDay, duration, now, shortId, fullTime } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { hasThumbnail, isImage } from '../../base/file-links.js';
import { link } from '../../base/router.js';
import { isEnded } from '../../live/store.js';
import { failureName } from './failure.js';
import { bar, statusBadge } from '../ui/badges.js';
import { icon } from '../ui/icons.js';
import { thumbnail } from '../files/thumbnail.js';

/** Header row with the column names. */
export const taskTableHead = () =>
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
  const progress = bar(t('progress.label', { name: shortId(first.id) }));
  const thumb = h('span', { class: 'thumb', 'aria-hidden': 'true' });
  const label = h('span', { class: 'sub' });
  const percent = h('span', { class: 'percent' });
  const note = h('span', { class: 'sub' });
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
    h('span', { role: 'cell', class: 'c-progress' }, h('span', { class: 'progress-line' }, progress.element, percent), note),
    instance,
    h('span', { role: 'cell', class: 'c-created', title: fullTime(first.createdAt) }, timeOfDay(first.createdAt)),
    waited,
    ran,
  );
  let shown = null;
  return {
    element,
    update(task) {
      badge.update(task.status);
      setAttr(element, 'data-status', task.status);
      const percentNow = task.status === 'completed' ? 100 : task.progress;
      progress.update(percentNow, task.status);
      setText(percent, task.status === 'pending' ? '' : `${percentNow} %`);
      setText(note, noteOf(task));
      setAttr(note, 'title', task.error?.message);
      setText(label, labelOf(task));
      setAttr(label, 'title', label.textContent);
      setText(instance, task.instanceId);
      setText(waited, duration(waitedMs(task)));
      setText(ran, task.startedAt ? duration(ranMs(task)) : '');
      const image = (task.result?.outputs ?? []).find(
        (item) => item.fileId && !item.deleted && (hasThumbnail(item) || isImage(item)),
      );
      // Compare by file id, because signed links differ each time.
      const next = image?.fileId ?? iconOf(task);
      if (next === shown) return;
      shown = next;
      setChildren(thumb, image ? thumbnail(image, 40, { iconSize: 18, width: 40, height: 40 }) : icon(next, 18));
    },
  };
}

function labelOf(task) {
  const labels = [];
  if (task.workflowName) labels.push(task.workflowName);
  if (task.batchId) labels.push(t('details.batchIndex', { at: task.batchIndex + 1 }));
  if (task.priority !== 'normal') labels.push(t(`priority.${task.priority}`));
  if (task.attempt > 1) labels.push(t('attempt.ofMax', { n: task.attempt, max: task.maxAttempts }));
  return labels.join(' · ');
}

function noteOf(task) {
  if (task.cancelRequested) return t('cancel.requested');
  if (task.error && task.status !== 'completed' && task.status !== 'cancelled') return failureName(task.error.type);
  if (task.status === 'running' && task.nodesTotal) return t('nodes.done', { done: task.nodesDone ?? 0, all: task.nodesTotal });
  return '';
}

/** Time that it waited until now; the runs of earlier attempts are no waits. */
export function waitedMs(task) {
  return (task.waitedMs ?? 0) + (task.waitingSince ? Math.max(0, now() - Date.parse(task.waitingSince)) : 0);
}

/** Time since the start, until the end or now. */
export function ranMs(task) {
  return (task.finishedAt ? Date.parse(task.finishedAt) : now()) - Date.parse(task.startedAt);
}

/** Output kind → icon name. */
const KIND_ICONS = { image: 'image', video: 'video', audio: 'audio', text: 'text' };

function iconOf(task) {
  const outputs = task.result?.outputs ?? [];
  if (outputs.length) return KIND_ICONS[outputs[0].kind] ?? 'file';
  if (task.status === 'running') return 'play';
  if (task.status === 'pending') return 'clock';
  return isEnded(task.status) && task.status !== 'completed' ? (task.status === 'failed' ? 'alert' : 'none') : 'file';
}
