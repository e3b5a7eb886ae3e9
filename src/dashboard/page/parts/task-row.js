// One task in a list: status, picture, progress, where, how long. Keeps its elements and writes only what changed.

import { fileLink } from '../base/api.js';
import { h, mark, put, say } from '../base/dom.js';
import { clock, duration, now, shortId, wholeTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { link } from '../base/router.js';
import { isEnded } from '../live/store.js';
import { bar, failureName, statusBadge } from './badges.js';
import { icon } from './icons.js';

/** There are no small pictures yet: larger ones are not fetched for a list. */
const THUMB_BYTES_MAX = 4_000_000;

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
      say(instance, task.instanceId ?? '–');
      say(waited, duration(waitedMs(task)));
      say(ran, task.startedAt ? duration(ranMs(task)) : '–');
      const next = thumbOf(task);
      if (next !== picture) {
        picture = next;
        put(
          thumb,
          next.startsWith('icon:')
            ? icon(next.slice(5), 18)
            : h('img', { src: next, alt: '', loading: 'lazy', decoding: 'async', width: 40, height: 40 }),
        );
      }
    },
  };
}

function labelOf(task) {
  const marks = [];
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

function thumbOf(task) {
  const outputs = task.result?.outputs ?? [];
  const image = outputs.find(
    (item) =>
      item.kind === 'image' &&
      item.fileId &&
      item.sizeBytes <= THUMB_BYTES_MAX &&
      item.contentType?.startsWith('image/') &&
      !item.contentType.includes('svg'),
  );
  if (image) return fileLink(image.fileId);
  if (outputs.length) return `icon:${KINDS[outputs[0].kind] ?? 'file'}`;
  if (task.status === 'running') return 'icon:play';
  if (task.status === 'pending') return 'icon:clock';
  return `icon:${isEnded(task.status) && task.status !== 'completed' ? (task.status === 'failed' ? 'alert' : 'none') : 'file'}`;
}
