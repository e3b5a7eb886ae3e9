// Overview: task counts, problems, charts of the last hour, all instances, recent tasks.

import { call } from '../base/api.js';
import { h, reconcile, setAttr, setChildren, setText } from '../base/dom.js';
import { timeOfDay, duration, number, now } from '../base/format.js';
import { t } from '../base/i18n.js';
import { link } from '../base/router.js';
import { currentPoint, points } from '../live/history.js';
import { resource } from '../live/resource.js';
import { known, readInstances, withUpdates } from '../live/store.js';
import { subscribe } from '../live/pub-sub.js';
import { chart } from '../components/ui/chart.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { instanceWall } from '../components/fleet/instance-wall.js';
import { icon } from '../components/ui/icons.js';
import { taskRow } from '../components/task/task-row.js';
import { findProblems } from '../components/fleet/problems.js';

const RECENT_TASKS = 6;
/** Most problems listed; the rest is counted. */
const PROBLEMS_SHOWN = 6;

export function overview(root, _route, scope) {
  const stats = statTiles();
  const charts = [
    chart({
      title: t('chart.throughput'),
      kind: 'good',
      valueOf: (point) => point.perMinute,
      format: (value) => t('perMinute', { value: number(value) }),
      floor: 5,
    }),
    chart({
      title: t('chart.waiting'),
      kind: 'warn',
      valueOf: (point) => point.oldestMs,
      format: (value) => duration(value),
      floor: 10_000,
    }),
    chart({
      title: t('chart.open'),
      kind: 'accent',
      valueOf: (point) => point.pending + point.running,
      format: (value) => number(value),
      floor: 5,
    }),
  ];
  const problems = h('section', { class: 'problem-panel', 'aria-labelledby': 'problems-title' });
  const wall = instanceWall(scope);
  const wallContainer = h('div');
  const recent = h('div');
  setChildren(
    root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, t('overview')),
      h('a', { class: 'button primary', href: link(['submit']) }, icon('submit', 18), t('submit.new')),
    ),
    stats.element,
    problems,
    h(
      'section',
      { class: 'charts', 'aria-label': t('charts') },
      charts.map((item) => item.element),
    ),
    h(
      'section',
      {},
      h('div', { class: 'head' }, h('h2', {}, t('fleet')), h('a', { href: link(['instances']) }, t('fleet.all'))),
      wallContainer,
    ),
    h(
      'section',
      {},
      h('div', { class: 'head' }, h('h2', {}, t('recentTasks')), h('a', { href: link(['tasks']) }, t('tasks.all'))),
      recent,
    ),
  );

  const drawCounts = () => {
    stats.update(known.overview);
    drawProblems(problems, known);
  };
  const drawFleet = () => {
    if (known.instances === null)
      setChildren(wallContainer, known.instancesError ? failedPanel(known.instancesError, readInstances) : loadingPanel(2));
    else if (known.instances.length === 0)
      setChildren(
        wallContainer,
        emptyPanel(
          'instances',
          t('fleet.none'),
          t('fleet.none.text'),
          h('a', { class: 'button primary', href: link(['config']) }, t('fleet.add')),
        ),
      );
    else {
      if (wall.element.parentNode !== wallContainer) setChildren(wallContainer, wall.element);
      wall.update(known.instances);
    }
    drawProblems(problems, known);
  };
  const drawCharts = () => charts.forEach((item) => item.update(points, currentPoint()));
  scope.add(subscribe('overview', drawCounts));
  scope.add(subscribe('instances', drawFleet));
  scope.add(subscribe('history', drawCharts));
  scope.add(subscribe('overview', drawCharts));
  drawCounts();
  drawFleet();
  drawCharts();
  recentTasks(recent, scope);
}

function recentTasks(container, scope) {
  const list = h('div', { class: 'table recent', role: 'table', 'aria-label': t('recentTasks') });
  const draw = ({ data, error, requestedAt }) => {
    if (data === null) setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(3));
    else if (data.items.length === 0)
      setChildren(
        container,
        emptyPanel(
          'tasks',
          t('tasks.none'),
          t('tasks.none.text'),
          h('a', { class: 'button primary', href: link(['submit']) }, t('submit.new')),
        ),
      );
    else {
      if (list.parentNode !== container) setChildren(container, list);
      reconcile(
        list,
        data.items.map((item) => withUpdates(item, requestedAt)),
        (item) => item.id,
        taskRow,
      );
    }
  };
  const source = resource(scope, (signal) => call('GET', `tasks?limit=${RECENT_TASKS}`, { signal }), draw);
  scope.add(subscribe('statuses', () => source.refreshSoon(1_500)));
  scope.add(subscribe('task', (ids) => source.state.data?.items.some((item) => ids.has(item.id)) && draw(source.state)));
  source.refresh();
}

function statTiles() {
  const make = (name, status) => {
    const value = h('strong', { class: 'figure', data: { test: `count-${name}` } }, '–');
    const note = h('span', { class: 'faint' });
    const address = status ? link(['tasks'], { status }) : link(['instances']);
    return {
      value,
      note,
      element: h(
        'a',
        { class: 'stat-tile', data: { kind: name }, href: address },
        h('span', { class: 'label' }, t(`stat.${name}`)),
        value,
        note,
      ),
    };
  };
  const tiles = {
    pending: make('pending', 'pending'),
    running: make('running', 'running'),
    completed: make('completed', 'completed'),
    failed: make('failed', 'failed'),
    instances: make('instances'),
  };
  const element = h(
    'section',
    { class: 'stats', 'aria-label': t('stats') },
    Object.values(tiles).map((tile) => tile.element),
  );
  const update = (counts) => {
    setAttr(element, 'aria-busy', counts === null);
    if (!counts) return;
    setText(tiles.pending.value, number(counts.pendingTasks));
    setText(
      tiles.pending.note,
      counts.oldestWaitingMs === null
        ? t('stat.pending.none')
        : t('stat.pending.note', { time: duration(counts.oldestWaitingMs) }),
    );
    setText(tiles.running.value, number(counts.runningTasks));
    setText(tiles.running.note, t('stat.running.note', { n: number(counts.busyInstances) }));
    setText(tiles.completed.value, number(counts.completedTasks));
    setText(tiles.completed.note, t('perMinute', { value: number(counts.throughputPerMinute) }));
    setText(tiles.failed.value, number(counts.failedTasks));
    setText(tiles.failed.note, t('stat.failed.note', { n: number(counts.cancelledTasks) }));
    setText(tiles.instances.value, `${number(counts.aliveInstances)} / ${number(counts.totalInstances)}`);
    setText(
      tiles.instances.note,
      t('stat.instances.note', { n: number(counts.freeInstances ?? 0) }),
    );
    setAttr(tiles.failed.element, 'data-any', counts.failedTasks > 0);
    setAttr(tiles.instances.element, 'data-short', counts.aliveInstances < counts.totalInstances);
  };
  return { element, update };
}

function drawProblems(container, { overview: counts, instances, health }) {
  container.hidden = counts === null && instances === null;
  const list = findProblems(counts, instances, health);
  const key = JSON.stringify(
    list.map((item) => [item.kind, item.instance?.id, item.instance?.lastError, Math.floor((item.waitingMs ?? 0) / 5_000)]),
  );
  // A link in the list has the focus: redraw only if the set of problems changed.
  const isHeld =
    container.contains(document.activeElement) && container.held === list.map((item) => item.kind + item.instance?.id).join();
  if (container.drawn === key || isHeld) return;
  container.held = list.map((item) => item.kind + item.instance?.id).join();
  container.drawn = key;
  const title = h(
    'h2',
    { id: 'problems-title' },
    icon(list.length ? 'alert' : 'check', 18),
    list.length ? t('problems', { n: list.length }) : t('problems.none'),
  );
  setAttr(container, 'data-level', list[0]?.level ?? 'good');
  setChildren(container, title);
  if (list.length === 0) return;
  const hidden = list.length - PROBLEMS_SHOWN;
  container.append(
    h(
      'ul',
      {},
      list.slice(0, PROBLEMS_SHOWN).map((item) => h('li', { data: { level: item.level } }, problemItem(item))),
      hidden > 0 && h('li', {}, h('a', { href: link(['instances'], { show: 'wrong' }) }, t('problems.more', { n: hidden }))),
    ),
  );
}

function problemItem(item) {
  if (item.instance) {
    return [
      h('a', { href: link(['instances', item.instance.id]), class: 'mono' }, item.instance.id),
      h('span', {}, t(`phase.${item.kind}`)),
      h('span', { class: 'why' }, item.instance.lastError ?? ''),
    ];
  }
  if (item.kind === 'long_wait') {
    const since = timeOfDay(now() - item.waitingMs);
    return [
      h('a', { href: link(['tasks'], { status: 'pending' }) }, t('problems.long_wait', { time: duration(item.waitingMs) })),
      h('span', { class: 'why' }, t('problems.long_wait.text', { n: number(item.count), since })),
    ];
  }
  const place = { no_instances: 'config', memory_full: 'tasks', disk_low: 'files' }[item.kind] ?? 'instances';
  const isOfRedis = /^(queue_|redis_|not_)/.test(item.kind);
  return [
    isOfRedis
      ? h('strong', {}, t(`problems.${item.kind}`))
      : h('a', { href: link([place]) }, t(`problems.${item.kind}`)),
    h('span', { class: 'why' }, t(`problems.${item.kind}.text`)),
  ];
}
