// Card of a task submitted from a form: its progress, then its first image.

import { call } from '../../base/api.js';
import { h, setAttr, setChildren, setText } from '../../base/dom.js';
import { approxDuration, shortId } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { isImage } from '../../base/file-links.js';
import { link } from '../../base/router.js';
import { isEnded, withUpdates } from '../../live/store.js';
import { subscribe } from '../../live/pub-sub.js';
import { failureName } from './failure.js';
import { bar, statusBadge } from '../ui/badges.js';
import { waitingReason } from './waiting-reason.js';
import { thumbnail } from '../files/thumbnail.js';

/** `{element, update(item), close()}`; `item` is `{task, requestedAt}` and is updated in place. */
export function runCard(item, scope) {
  const badge = statusBadge(item.task.status);
  const progress = bar(t('progress.label', { name: shortId(item.task.id) }));
  const note = h('p', { class: 'sub' });
  const picture = h('div', { class: 'run-picture' });
  const element = h(
    'article',
    { class: 'panel run', data: { id: item.task.id } },
    h(
      'div',
      { class: 'row between' },
      h('a', { class: 'mono', href: link(['tasks', item.task.id]) }, shortId(item.task.id)),
      badge.element,
    ),
    progress.element,
    note,
    picture,
  );
  let shown = '';
  const draw = () => {
    item.task = withUpdates(item.task, item.requestedAt);
    const { task } = item;
    badge.update(task.status);
    setAttr(element, 'data-status', task.status);
    progress.update(task.status === 'completed' ? 100 : task.progress, task.status);
    setText(
      note,
      task.status === 'failed'
        ? `${failureName(task.error?.type)}: ${task.error?.message ?? ''}`
        : task.status === 'running'
          ? `${task.progress} %`
          : task.status === 'pending' && task.waitingFor
            ? t('waiting', { reason: waitingReason(task.waitingFor) }) +
              (task.etaMs > 0 ? ` · ${approxDuration(task.etaMs)}` : '')
            : '',
    );
    const image = task.result?.outputs?.find((output) => output.fileId && !output.deleted && isImage(output));
    if (image && image.fileId !== shown) {
      shown = image.fileId;
      setChildren(
        picture,
        h('a', { href: link(['tasks', task.id]) }, thumbnail(image, 320, { alt: t('output.alt', { id: shortId(task.id) }) })),
      );
    }
  };
  const refresh = async () => {
    const requestedAt = performance.now();
    try {
      Object.assign(item, { task: await call('GET', `tasks/${item.task.id}`), requestedAt });
      draw();
    } catch {
      /* the next message or poll updates the card */
    }
  };
  const cleanups = [subscribe('task', (ids) => ids.has(item.task.id) && draw()), subscribe('resync', refresh)];
  const timer = setInterval(() => item.task.status === 'pending' && document.visibilityState === 'visible' && refresh(), 3_000);
  const close = () => {
    clearInterval(timer);
    for (const cleanup of cleanups) cleanup();
  };
  scope.add(close);
  // Restored from an earlier visit: the task may have ended in the meantime.
  if (!isEnded(item.task.status) && performance.now() - item.requestedAt > 1_000) refresh();
  return { element, update: draw, close };
}
