// One instance: what it is, what it does, and what happened to it.

import { call } from '../base/api.js';
import { h, put } from '../base/dom.js';
import { ago, clock, gibibytes, number, shortId, wholeTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { known } from '../live/store.js';
import { watch } from '../live/topics.js';
import { memoryBar, phaseBadge } from '../components/ui/badges.js';
import { enableSwitch } from '../components/fleet/enable-switch.js';
import { emptyPanel, failedPanel, waitingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';

export function instance(root, { path }, scope) {
  const id = path[1];
  const badge = h('span');
  const actions = h('label', { class: 'check' });
  const place = h('div', { class: 'stack wide' });
  let onOff = null;
  put(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['instances']) }, t('instances'))),
    h('div', { class: 'head' }, h('h1', { class: 'mono' }, id), badge, actions),
    place,
  );
  const draw = ({ data, error }) => {
    if (data === null) {
      if (error?.status === 404)
        put(
          place,
          emptyPanel(
            'instances',
            t('instance.gone'),
            t('instance.gone.text'),
            h('a', { class: 'button', href: link(['instances']) }, t('instances')),
          ),
        );
      else put(place, error ? failedPanel(error, source.refresh) : waitingPanel(5));
      return;
    }
    const mine = { ...data, ...known.instances?.find((item) => item.id === id) };
    if (!onOff) {
      onOff = enableSwitch(mine);
      put(actions, onOff.element, t('instance.switch'));
    }
    onOff.update(mine);
    put(badge, phaseBadge(mine).element);
    // The page of an instance is read and followed: made anew only for news.
    const key = JSON.stringify({ ...mine, lastHeartbeat: null });
    if (place.drawn === key) return;
    place.drawn = key;
    put(
      place,
      mine.lastError && mine.phase !== 'up'
        ? h(
            'div',
            { class: 'note-panel', data: { level: mine.phase === 'down' ? 'bad' : 'warn' } },
            icon('alert'),
            h('div', {}, h('strong', {}, t('instance.lastError')), h('p', {}, mine.lastError)),
          )
        : null,
      h('div', { class: 'columns' }, facts(mine), history(data.history)),
    );
  };
  const source = resource(scope, (signal) => call('GET', `instances/${encodeURIComponent(id)}`, { signal }), draw);
  scope.add(watch('instances', (ids) => (ids.has(id) || ids.has('')) && source.refreshSoon(1_000)));
  source.refresh();
}

function facts(item) {
  const device = item.device?.vramTotal ? item.device : null;
  const rows = [
    ['instance.server', `${item.serverName} (${item.serverId})`],
    [
      'instance.task',
      item.currentTaskId
        ? h('a', { class: 'mono', href: link(['tasks', item.currentTaskId]) }, shortId(item.currentTaskId))
        : '–',
    ],
    ['instance.queue', number(item.queueDepth)],
    ['instance.checked', h('span', { title: wholeTime(item.lastHeartbeat) }, ago(item.lastHeartbeat))],
    ['instance.version', item.version ?? '–'],
    ['instance.device', device?.name ?? item.device?.name ?? '–'],
    [
      'instance.memory',
      device
        ? h(
            'span',
            { class: 'names' },
            `${gibibytes(device.vramTotal - device.vramFree)} / ${gibibytes(device.vramTotal)} GiB`,
            memoryBar(device),
          )
        : '–',
    ],
    item.phase === 'up' && item.lastError && ['instance.lastError', item.lastError],
  ].filter(Boolean);
  return h(
    'section',
    { class: 'panel' },
    h('h2', {}, t('facts')),
    h(
      'dl',
      { class: 'facts' },
      rows.map(([name, value]) => h('div', {}, h('dt', {}, t(name)), h('dd', {}, value))),
    ),
  );
}

function history(changes) {
  return h(
    'section',
    { class: 'panel' },
    h('h2', {}, t('instance.history')),
    changes.length
      ? h(
          'ol',
          { class: 'timeline' },
          changes.map((change) =>
            h(
              'li',
              { data: { kind: { up: 'completed', down: 'failed', suspect: 'warn', draining: 'cancelled' }[change.phase] } },
              h('span', { class: 'step-dot', 'aria-hidden': 'true' }),
              h(
                'div',
                {},
                h('strong', {}, t(`phase.${change.phase}`)),
                change.reason && h('p', { class: 'sub' }, change.reason),
              ),
              h('time', { datetime: change.at, title: wholeTime(change.at) }, clock(change.at)),
            ),
          ),
        )
      : h('p', { class: 'faint' }, t('instance.history.none')),
  );
}
