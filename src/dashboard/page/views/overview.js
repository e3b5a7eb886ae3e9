// The overview: how much there is to do, how it goes, what is wrong, and every instance at a glance.

import { call } from '../base/api.js';
import { h, keyed, mark, put, say } from '../base/dom.js';
import { clock, duration, number, now } from '../base/format.js';
import { t } from '../base/i18n.js';
import { link } from '../base/router.js';
import { points, present } from '../live/history.js';
import { resource } from '../live/resource.js';
import { known, readInstances, withNews } from '../live/store.js';
import { watch } from '../live/topics.js';
import { chart } from '../components/ui/chart.js';
import { emptyPanel, failedPanel, waitingPanel } from '../components/ui/panels.js';
import { fleet } from '../components/fleet/instance-wall.js';
import { icon } from '../components/ui/icons.js';
import { taskRow } from '../components/task/task-row.js';
import { troubles } from '../components/fleet/problems.js';

const RECENT = 6;
/** A long list of the same trouble says no more than its beginning. */
const TROUBLES_SHOWN = 6;

export function overview(root, _route, scope) {
  const figures = figureStrip();
  const charts = [
    chart({
      title: t('chart.throughput'),
      kind: 'good',
      of: (point) => point.perMinute,
      shown: (value) => t('perMinute', { value: number(value) }),
      floor: 5,
    }),
    chart({
      title: t('chart.waiting'),
      kind: 'warn',
      of: (point) => point.oldestMs,
      shown: (value) => duration(value),
      floor: 10_000,
    }),
    chart({
      title: t('chart.open'),
      kind: 'accent',
      of: (point) => point.pending + point.running,
      shown: (value) => number(value),
      floor: 5,
    }),
  ];
  const wrong = h('section', { class: 'wrong', 'aria-labelledby': 'wrong-title' });
  const wall = fleet(scope);
  const wallPlace = h('div');
  const recent = h('div');
  put(
    root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, t('overview')),
      h('a', { class: 'button primary', href: link(['submit']) }, icon('submit', 18), t('submit.new')),
    ),
    figures.element,
    wrong,
    h(
      'section',
      { class: 'charts', 'aria-label': t('charts') },
      charts.map((item) => item.element),
    ),
    h(
      'section',
      {},
      h('div', { class: 'head' }, h('h2', {}, t('fleet')), h('a', { href: link(['instances']) }, t('fleet.all'))),
      wallPlace,
    ),
    h(
      'section',
      {},
      h('div', { class: 'head' }, h('h2', {}, t('recent')), h('a', { href: link(['tasks']) }, t('recent.all'))),
      recent,
    ),
  );

  const drawCounts = () => {
    figures.update(known.overview);
    drawTroubles(wrong, known);
  };
  const drawFleet = () => {
    if (known.instances === null)
      put(wallPlace, known.instancesError ? failedPanel(known.instancesError, readInstances) : waitingPanel(2));
    else if (known.instances.length === 0)
      put(
        wallPlace,
        emptyPanel(
          'instances',
          t('fleet.none'),
          t('fleet.none.text'),
          h('a', { class: 'button primary', href: link(['config']) }, t('fleet.add')),
        ),
      );
    else {
      if (wall.element.parentNode !== wallPlace) put(wallPlace, wall.element);
      wall.update(known.instances);
    }
    drawTroubles(wrong, known);
  };
  const drawCharts = () => charts.forEach((item) => item.update(points, present()));
  scope.add(watch('overview', drawCounts));
  scope.add(watch('instances', drawFleet));
  scope.add(watch('history', drawCharts));
  scope.add(watch('overview', drawCharts));
  drawCounts();
  drawFleet();
  drawCharts();
  recentTasks(recent, scope);
}

function recentTasks(place, scope) {
  const list = h('div', { class: 'table recent', role: 'table', 'aria-label': t('recent') });
  const draw = ({ data, error, askedAt }) => {
    if (data === null) put(place, error ? failedPanel(error, source.refresh) : waitingPanel(3));
    else if (data.items.length === 0)
      put(
        place,
        emptyPanel(
          'tasks',
          t('tasks.none'),
          t('tasks.none.text'),
          h('a', { class: 'button primary', href: link(['submit']) }, t('submit.new')),
        ),
      );
    else {
      if (list.parentNode !== place) put(place, list);
      keyed(
        list,
        data.items.map((item) => withNews(item, askedAt)),
        (item) => item.id,
        taskRow,
      );
    }
  };
  const source = resource(scope, (signal) => call('GET', `tasks?limit=${RECENT}`, { signal }), draw);
  scope.add(watch('statuses', () => source.refreshSoon(1_500)));
  scope.add(watch('task', (ids) => source.state.data?.items.some((item) => ids.has(item.id)) && draw(source.state)));
  source.refresh();
}

function figureStrip() {
  const make = (name, status) => {
    const value = h('strong', { class: 'figure', data: { test: `count-${name}` } }, '–');
    const note = h('span', { class: 'faint' });
    const address = status ? link(['tasks'], { status }) : link(['instances']);
    return {
      value,
      note,
      element: h(
        'a',
        { class: 'figure-tile', data: { kind: name }, href: address },
        h('span', { class: 'label' }, t(`figure.${name}`)),
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
    { class: 'figures', 'aria-label': t('figures') },
    Object.values(tiles).map((tile) => tile.element),
  );
  const update = (counts) => {
    mark(element, 'aria-busy', counts === null);
    if (!counts) return;
    say(tiles.pending.value, number(counts.pendingTasks));
    say(
      tiles.pending.note,
      counts.oldestWaitingMs === null
        ? t('figure.pending.none')
        : t('figure.pending.note', { time: duration(counts.oldestWaitingMs) }),
    );
    say(tiles.running.value, number(counts.runningTasks));
    say(tiles.running.note, t('figure.running.note', { n: number(counts.busyInstances) }));
    say(tiles.completed.value, number(counts.completedTasks));
    say(tiles.completed.note, t('perMinute', { value: number(counts.throughputPerMinute) }));
    say(tiles.failed.value, number(counts.failedTasks));
    say(tiles.failed.note, t('figure.failed.note', { n: number(counts.cancelledTasks) }));
    say(tiles.instances.value, `${number(counts.aliveInstances)} / ${number(counts.totalInstances)}`);
    say(
      tiles.instances.note,
      t('figure.instances.note', { n: number(Math.max(0, counts.aliveInstances - counts.busyInstances)) }),
    );
    mark(tiles.failed.element, 'data-any', counts.failedTasks > 0);
    mark(tiles.instances.element, 'data-short', counts.aliveInstances < counts.totalInstances);
  };
  return { element, update };
}

function drawTroubles(place, { overview: counts, instances }) {
  place.hidden = counts === null && instances === null;
  const list = troubles(counts, instances);
  const key = JSON.stringify(
    list.map((item) => [item.kind, item.instance?.id, item.instance?.lastError, Math.floor((item.waitingMs ?? 0) / 5_000)]),
  );
  // Somebody is about to follow a link here: only a change of what is wrong may move it.
  const isHeld =
    place.contains(document.activeElement) && place.held === list.map((item) => item.kind + item.instance?.id).join();
  if (place.drawn === key || isHeld) return;
  place.held = list.map((item) => item.kind + item.instance?.id).join();
  place.drawn = key;
  const title = h(
    'h2',
    { id: 'wrong-title' },
    icon(list.length ? 'alert' : 'check', 18),
    list.length ? t('wrong', { n: list.length }) : t('wrong.none'),
  );
  mark(place, 'data-level', list[0]?.level ?? 'good');
  put(place, title);
  if (list.length === 0) return;
  const more = list.length - TROUBLES_SHOWN;
  place.append(
    h(
      'ul',
      {},
      list.slice(0, TROUBLES_SHOWN).map((item) => h('li', { data: { level: item.level } }, troubleWords(item))),
      more > 0 && h('li', {}, h('a', { href: link(['instances'], { show: 'wrong' }) }, t('wrong.more', { n: more }))),
    ),
  );
}

function troubleWords(item) {
  if (item.instance) {
    return [
      h('a', { href: link(['instances', item.instance.id]), class: 'mono' }, item.instance.id),
      h('span', {}, t(`phase.${item.kind}`)),
      h('span', { class: 'why' }, item.instance.lastError ?? ''),
    ];
  }
  if (item.kind === 'long_wait') {
    const since = clock(now() - item.waitingMs);
    return [
      h('a', { href: link(['tasks'], { status: 'pending' }) }, t('wrong.long_wait', { time: duration(item.waitingMs) })),
      h('span', { class: 'why' }, t('wrong.long_wait.text', { n: number(item.count), since })),
    ];
  }
  return [
    h('a', { href: link(item.kind === 'no_instances' ? ['config'] : ['instances']) }, t(`wrong.${item.kind}`)),
    h('span', { class: 'why' }, t(`wrong.${item.kind}.text`)),
  ];
}
