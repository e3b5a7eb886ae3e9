// A run that was begun on this page: its progress, then its first picture.

import { call } from '../../base/api.js';
import { h, mark, put, say } from '../../base/dom.js';
import { about, shortId } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { isPicture } from '../../base/file-links.js';
import { link } from '../../base/router.js';
import { isEnded, withNews } from '../../live/store.js';
import { watch } from '../../live/topics.js';
import { bar, failureName, statusBadge } from '../ui/badges.js';
import { whyItWaits } from '../ui/panels.js';
import { smallPicture } from '../files/thumbnail.js';

/** `{element, update(item), close()}`; `item` is `{task, askedAt}` and is kept up to date. */
export function runCard(item, scope) {
  const badge = statusBadge(item.task.status);
  const progress = bar(t('progress.of', { name: shortId(item.task.id) }));
  const words = h('p', { class: 'sub' });
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
    words,
    picture,
  );
  let shown = '';
  const draw = () => {
    item.task = withNews(item.task, item.askedAt);
    const { task } = item;
    badge.update(task.status);
    mark(element, 'data-status', task.status);
    progress.update(task.status === 'completed' ? 100 : task.progress, task.status);
    say(
      words,
      task.status === 'failed'
        ? `${failureName(task.error?.type)}: ${task.error?.message ?? ''}`
        : task.status === 'running'
          ? `${task.progress} %`
          : task.status === 'pending' && task.waitingFor
            ? t('waits', { why: whyItWaits(task.waitingFor) }) + (task.etaMs > 0 ? ` · ${about(task.etaMs)}` : '')
            : '',
    );
    const image = task.result?.outputs?.find((output) => output.fileId && !output.deleted && isPicture(output));
    if (image && image.fileId !== shown) {
      shown = image.fileId;
      put(
        picture,
        h('a', { href: link(['tasks', task.id]) }, smallPicture(image, 320, { alt: t('output.of', { id: shortId(task.id) }) })),
      );
    }
  };
  const read = async () => {
    const askedAt = performance.now();
    try {
      Object.assign(item, { task: await call('GET', `tasks/${item.task.id}`), askedAt });
      draw();
    } catch {
      /* the next news or reading will tell */
    }
  };
  const ends = [watch('task', (ids) => ids.has(item.task.id) && draw()), watch('resync', read)];
  const timer = setInterval(() => item.task.status === 'pending' && document.visibilityState === 'visible' && read(), 3_000);
  const close = () => {
    clearInterval(timer);
    for (const end of ends) end();
  };
  scope.add(close);
  // Of an earlier visit: it may have ended meanwhile.
  if (!isEnded(item.task.status) && performance.now() - item.askedAt > 1_000) read();
  return { element, update: draw, close };
}
