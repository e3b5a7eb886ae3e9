// Instances view: a filtered list, with a switch to disable each.

import { h, reconcile, setAttr, setChildren, setText } from '../base/dom.js';
import { ago, memoryUsage, number, shortId, fullTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { go, link } from '../base/router.js';
import { known, readInstances } from '../live/store.js';
import { subscribe } from '../live/pub-sub.js';
import { memoryBar, phaseBadge, phaseOf } from '../components/ui/badges.js';
import { hasProblem } from '../components/fleet/problems.js';
import { enableSwitch } from '../components/fleet/enable-switch.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';

export function instances(root, first, scope) {
  let filter = first.query.get('show');
  const container = h('div');
  const rows = h('div', { role: 'rowgroup' });
  const head = h(
    'div',
    { class: 'tr th', role: 'row' },
    ['name', 'state', 'task', 'memory', 'version', 'seen', 'switch'].map((name) =>
      h('span', { role: 'columnheader', class: `i-${name}` }, t(`instance.${name}`)),
    ),
  );
  const table = h(
    'div',
    { class: 'table panel instances', role: 'table', 'aria-label': t('instances') },
    h('div', { role: 'rowgroup' }, head),
    rows,
  );
  const filters = h('div', { class: 'chips', role: 'group', 'aria-label': t('filter') });
  const servers = h('p', { class: 'faint', role: 'status' });
  setChildren(
    root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, t('instances')),
      h('a', { class: 'button', href: link(['config']) }, icon('config', 18), t('config')),
    ),
    filters,
    container,
    servers,
  );

  const kinds = [
    [null, () => true],
    ['busy', (item) => item.busy],
    ['idle', (item) => phaseOf(item) === 'up' && !item.busy],
    ['wrong', hasProblem],
    ['off', (item) => !item.enabled],
  ];
  const chips = kinds.map(([name, is]) => {
    const figure = h('span', { class: 'note' });
    const element = h(
      'button',
      {
        type: 'button',
        class: 'chip',
        data: { status: name ?? 'all' },
        onclick: () => go(link(['instances'], { show: name })),
      },
      t(`instances.${name ?? 'all'}`),
      figure,
    );
    return { name, is, figure, element };
  });
  setChildren(
    filters,
    chips.map((chip) => chip.element),
  );

  const draw = () => {
    const all = known.instances;
    if (all === null) {
      setChildren(container, known.instancesError ? failedPanel(known.instancesError, readInstances) : loadingPanel(6));
      return;
    }
    for (const { name, is, figure, element } of chips) {
      setText(figure, number(all.filter(is).length));
      setAttr(element, 'aria-pressed', String((filter ?? null) === name));
    }
    const list = all.filter(chips.find((chip) => chip.name === (filter ?? null))?.is ?? (() => true));
    const count = new Set(all.map((item) => item.serverId)).size;
    setText(servers, all.length ? t('instances.total', { n: all.length, servers: count }) : '');
    if (all.length === 0)
      setChildren(
        container,
        emptyPanel(
          'instances',
          t('fleet.none'),
          t('fleet.none.text'),
          h('a', { class: 'button primary', href: link(['config']) }, t('fleet.add')),
        ),
      );
    else if (list.length === 0)
      setChildren(container, emptyPanel('check', t('instances.noMatch'), t('instances.noMatch.text')));
    else {
      if (table.parentNode !== container) setChildren(container, table);
      reconcile(rows, list, (item) => item.id, row);
    }
  };
  scope.add(subscribe('instances', draw));
  scope.every(5_000, draw);
  draw();
  readInstances();
  return {
    update(route) {
      filter = route.query.get('show');
      draw();
    },
  };
}

function row(first) {
  const badge = phaseBadge(first);
  const errorNote = h('span', { class: 'sub' });
  const work = h('span', { role: 'cell', class: 'i-task' });
  const memory = h('span', { role: 'cell', class: 'i-memory' });
  const version = h('span', { role: 'cell', class: 'i-version' });
  const checked = h('span', { role: 'cell', class: 'i-seen' });
  const enabledSwitch = enableSwitch(first);
  const element = h(
    'div',
    { class: 'tr', role: 'row', data: { id: first.id } },
    h(
      'span',
      { role: 'cell', class: 'i-name names' },
      h('a', { class: 'mono row-link', href: link(['instances', first.id]) }, first.id),
      h('span', { class: 'sub' }, first.serverName),
    ),
    h('span', { role: 'cell', class: 'i-state names' }, badge.element, errorNote),
    work,
    memory,
    version,
    checked,
    h('span', { role: 'cell', class: 'i-switch' }, enabledSwitch.element),
  );
  let drawnWork = null;
  let drawnMemory = null;
  return {
    element,
    update(next) {
      badge.update(next);
      setAttr(element, 'data-phase', phaseOf(next));
      const error = hasProblem(next) ? next.lastError : null;
      setText(errorNote, error);
      setAttr(errorNote, 'title', error);
      if (next.currentTaskId !== drawnWork || !work.firstChild) {
        drawnWork = next.currentTaskId;
        setChildren(
          work,
          next.currentTaskId
            ? h('a', { class: 'mono', href: link(['tasks', next.currentTaskId]) }, shortId(next.currentTaskId))
            : '–',
        );
        setAttr(work, 'data-none', !next.currentTaskId);
      }
      const device = next.device?.vramTotal ? next.device : null;
      const key = device ? `${device.vramFree}` : '';
      if (key !== drawnMemory) {
        drawnMemory = key;
        setChildren(
          memory,
          device ? [memoryBar(device), h('span', { class: 'sub', title: device.name }, memoryUsage(device))] : '–',
        );
      }
      setAttr(memory, 'data-none', !device);
      setText(version, next.version ?? '–');
      setText(checked, ago(next.lastHeartbeat));
      setAttr(checked, 'title', fullTime(next.lastHeartbeat));
      enabledSwitch.update(next);
    },
  };
}
