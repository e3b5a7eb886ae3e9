// Grid of instance tiles, grouped by server. Tiles are smaller if there are many; only changed tiles are redrawn.

import { h, reconcile, setAttr, setChildren, setText } from '../../base/dom.js';
import { memoryUsage, shortId } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { link } from '../../base/router.js';
import { latestUpdate, known } from '../../live/store.js';
import { subscribe } from '../../live/pub-sub.js';
import { bar, memoryBar, phaseBadge, phaseOf } from '../ui/badges.js';

/** Number of instances from which tiles are small. */
const DENSE_FROM = 25;

/** `{element, update(instances)}` */
export function instanceWall(scope) {
  const element = h('div', { class: 'fleet-groups' });
  const tiles = new Map();
  // Task progress does not change the instances, so redraw the tiles of the tasks that changed.
  scope.add(
    subscribe('task', (ids) => {
      for (const instance of known.instances ?? [])
        if (instance.currentTaskId && ids.has(instance.currentTaskId)) tiles.get(instance.id)?.update(instance);
    }),
  );

  function update(instances) {
    setAttr(element, 'data-dense', instances.length >= DENSE_FROM);
    const servers = new Map();
    for (const instance of instances) {
      if (!servers.has(instance.serverId))
        servers.set(instance.serverId, { id: instance.serverId, name: instance.serverName, items: [] });
      servers.get(instance.serverId).items.push(instance);
    }
    const isOnlyServer = servers.size === 1;
    reconcile(
      element,
      [...servers.values()],
      (server) => server.id,
      () => group(tiles),
    );
    for (const server of element.children) server.firstChild.hidden = isOnlyServer;
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
      setChildren(name, server.name, h('span', { class: 'faint' }, ` ${alive}/${server.items.length}`));
      reconcile(
        list,
        server.items,
        (item) => item.id,
        (item) => {
          const row = tile(item);
          tiles.set(item.id, row);
          return { ...row, close: () => tiles.delete(item.id) };
        },
      );
    },
  };
}

function tile(instance) {
  const badge = phaseBadge(instance);
  const percent = h('span', { class: 'percent' });
  const progress = bar(t('progress.label', { name: instance.id }));
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
      setAttr(element, 'data-phase', phase);
      setAttr(element, 'data-busy', next.busy);
      const update = next.currentTaskId ? latestUpdate(next.currentTaskId) : null;
      const isRunning = next.currentTaskId && update?.status === 'running';
      const label = next.currentTaskId ?? (['down', 'quarantined', 'suspect'].includes(phase) ? next.lastError : '') ?? '';
      if (label !== drawnWork) {
        drawnWork = label;
        setChildren(
          work,
          next.currentTaskId
            ? h('a', { class: 'mono', href: link(['tasks', next.currentTaskId]) }, shortId(next.currentTaskId))
            : label || (next.version ? `ComfyUI ${next.version}` : t(`phase.${phase === 'up' ? 'idle' : phase}`)),
        );
        setAttr(work, 'title', label);
      }
      setText(percent, isRunning ? `${update.progress} %` : next.currentTaskId ? t('task.starting') : '');
      setAttr(progress.element, 'data-idle', !next.currentTaskId);
      progress.update(isRunning ? update.progress : 0, 'running');
      const device = next.device?.vramTotal ? next.device : null;
      const shown = device ? memoryUsage(device) : '';
      if (shown !== drawnMemory) {
        drawnMemory = shown;
        setChildren(
          memory,
          device && [memoryBar(device), h('span', { class: 'faint', title: `${t('vram')} · ${device.name}` }, shown)],
        );
      }
    },
  };
}
