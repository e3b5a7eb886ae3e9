// The wall of instances: one tile each, dense when there are many. Only tiles that changed are touched.

import { h, keyed, mark, put, say } from '../../base/dom.js';
import { gibibytes, shortId } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { newsOf, known } from '../../live/store.js';
import { watch } from '../../live/topics.js';
import { bar, memoryBar, phaseBadge, phaseOf } from '../ui/badges.js';

/** From here on tiles are small. */
const DENSE_FROM = 25;

export function fleet(scope) {
  const element = h('div', { class: 'fleet-groups' });
  const tiles = new Map();
  // Progress of the tasks that are on instances: one look-up per task that changed.
  scope.add(
    watch('task', (ids) => {
      for (const instance of known.instances ?? [])
        if (instance.currentTaskId && ids.has(instance.currentTaskId)) tiles.get(instance.id)?.update(instance);
    }),
  );

  function update(instances) {
    mark(element, 'data-dense', instances.length >= DENSE_FROM);
    const servers = new Map();
    for (const instance of instances) {
      if (!servers.has(instance.serverId))
        servers.set(instance.serverId, { id: instance.serverId, name: instance.serverName, items: [] });
      servers.get(instance.serverId).items.push(instance);
    }
    const isAlone = servers.size === 1;
    keyed(
      element,
      [...servers.values()],
      (server) => server.id,
      () => group(tiles),
    );
    for (const server of element.children) server.firstChild.hidden = isAlone;
  }
  return { element, update };
}

function group(tiles) {
  const name = h('h3', {});
  const list = h('ul', { class: 'fleet' });
  const element = h('div', {}, name, list);
  return {
    element,
    update(server) {
      const alive = server.items.filter((item) => item.alive).length;
      put(name, server.name, h('span', { class: 'faint' }, ` ${alive}/${server.items.length}`));
      keyed(
        list,
        server.items,
        (item) => item.id,
        (item) => {
          const made = tile(item);
          tiles.set(item.id, made);
          return { ...made, close: () => tiles.delete(item.id) };
        },
      );
    },
  };
}

function tile(instance) {
  const badge = phaseBadge(instance);
  const percent = h('span', { class: 'percent' });
  const progress = bar(t('progress.of', { name: instance.id }));
  const work = h('span', { class: 'work' });
  const memory = h('div', { class: 'tile-memory' });
  const element = h(
    'li',
    { class: 'tile' },
    h(
      'div',
      { class: 'tile-top' },
      h(
        'a',
        { class: 'mono', href: link(['instances', instance.id]), title: instance.id },
        h('span', { class: 'tile-host' }, instance.id.slice(0, instance.id.lastIndexOf(':'))),
        instance.id.slice(instance.id.lastIndexOf(':')),
      ),
      badge.element,
    ),
    h('div', { class: 'tile-work' }, work, percent),
    progress.element,
    memory,
  );
  let drawnMemory = '';
  let drawnWork = null;
  return {
    element,
    update(next) {
      const phase = phaseOf(next);
      badge.update(next);
      mark(element, 'data-phase', phase);
      mark(element, 'data-busy', next.busy);
      const news = next.currentTaskId ? newsOf(next.currentTaskId) : null;
      const runs = next.currentTaskId && news?.status === 'running';
      const words = next.currentTaskId ?? (phase === 'down' || phase === 'suspect' ? next.lastError : '') ?? '';
      if (words !== drawnWork) {
        drawnWork = words;
        put(
          work,
          next.currentTaskId
            ? h('a', { class: 'mono', href: link(['tasks', next.currentTaskId]) }, shortId(next.currentTaskId))
            : words || (next.version ? `ComfyUI ${next.version}` : t(`phase.${phase === 'up' ? 'idle' : phase}`)),
        );
        mark(work, 'title', words);
      }
      say(percent, runs ? `${news.progress} %` : next.currentTaskId ? t('starting') : '');
      mark(progress.element, 'data-idle', !next.currentTaskId);
      progress.update(runs ? news.progress : 0, 'running');
      const device = next.device?.vramTotal ? next.device : null;
      const shown = device ? `${gibibytes(device.vramTotal - device.vramFree)} / ${gibibytes(device.vramTotal)} GiB` : '';
      if (shown !== drawnMemory) {
        drawnMemory = shown;
        put(memory, device && [memoryBar(device), h('span', { class: 'faint', title: `${t('vram')} · ${device.name}` }, shown)]);
      }
    },
  };
}
