// Instance view: state, details and history of one instance.

import { call } from '../base/api.js';
import { h, setChildren } from '../base/dom.js';
import { ago, timeOfDay, memoryUsage, number, shortId, fullTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { known } from '../live/store.js';
import { subscribe } from '../live/pub-sub.js';
import { memoryBar, phaseBadge } from '../components/ui/badges.js';
import { enableSwitch } from '../components/fleet/enable-switch.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { toast, toastError } from '../components/ui/toast.js';

export function instance(root, { path }, scope) {
  const id = path[1];
  const badge = h('span');
  const actions = h('label', { class: 'check' });
  const container = h('div', { class: 'stack wide' });
  let enabledSwitch = null;
  setChildren(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['instances']) }, t('instances'))),
    h('div', { class: 'head' }, h('h1', { class: 'mono' }, id), badge, actions),
    container,
  );
  const draw = ({ data, error }) => {
    if (data === null) {
      if (error?.status === 404)
        setChildren(
          container,
          emptyPanel(
            'instances',
            t('instance.notFound'),
            t('instance.notFound.text'),
            h('a', { class: 'button', href: link(['instances']) }, t('instances')),
          ),
        );
      else setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(5));
      return;
    }
    const current = { ...data, ...known.instances?.find((item) => item.id === id) };
    if (!enabledSwitch) {
      enabledSwitch = enableSwitch(current);
      setChildren(actions, enabledSwitch.element, t('instance.switch'));
    }
    enabledSwitch.update(current);
    setChildren(badge, phaseBadge(current).element);
    // Redraw only on changes: the user may be selecting text or following a link.
    const key = JSON.stringify({ ...current, lastHeartbeat: null });
    if (container.drawn === key) return;
    container.drawn = key;
    setChildren(
      container,
      current.quarantine && current.phase === 'quarantined' ? quarantinePanel(current, source.refresh) : null,
      current.lastError && !['up', 'quarantined'].includes(current.phase)
        ? h(
            'div',
            { class: 'note-panel', data: { level: current.phase === 'down' ? 'bad' : 'warn' } },
            icon('alert'),
            h('div', {}, h('strong', {}, t('instance.lastError')), h('p', {}, current.lastError)),
          )
        : null,
      h('div', { class: 'columns' }, detailsPanel(current), historyPanel(data.history)),
    );
  };
  const source = resource(scope, (signal) => call('GET', `instances/${encodeURIComponent(id)}`, { signal }), draw);
  scope.add(subscribe('instances', (ids) => (ids.has(id) || ids.has('')) && source.refreshSoon(1_000)));
  source.refresh();
}

/** The reason of a quarantine, and a button that ends it. */
function quarantinePanel(item, refresh) {
  const { message, exceptionType, nodeId, nodeType, since, nextTrialAt } = item.quarantine;
  const place = [nodeType, nodeId].filter(Boolean).join(' ');
  const button = h('button', { type: 'button', class: 'button' }, t('instance.release'));
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      await call('POST', `instances/${encodeURIComponent(item.id)}/release`);
      toast('good', t('instance.released', { id: item.id }));
      refresh();
    } catch (error) {
      toastError(error);
      button.disabled = false;
    }
  });
  return h(
    'div',
    { class: 'note-panel', data: { level: 'bad' } },
    icon('alert'),
    h(
      'div',
      {},
      h('strong', {}, t('instance.quarantine')),
      h('p', {}, [place, exceptionType, message].filter(Boolean).join(': ')),
      h('p', {}, t('instance.quarantine.next', { since: fullTime(since), at: timeOfDay(nextTrialAt) })),
      button,
    ),
  );
}

function detailsPanel(item) {
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
    ['instance.seen', h('span', { title: fullTime(item.lastHeartbeat) }, ago(item.lastHeartbeat))],
    ['instance.version', item.version ?? '–'],
    ['instance.device', device?.name ?? item.device?.name ?? '–'],
    ['instance.memory', device ? h('span', { class: 'names' }, memoryUsage(device), memoryBar(device)) : '–'],
    item.phase === 'up' && item.lastError && ['instance.lastError', item.lastError],
  ].filter(Boolean);
  return h(
    'section',
    { class: 'panel' },
    h('h2', {}, t('details')),
    h(
      'dl',
      { class: 'facts' },
      rows.map(([name, value]) => h('div', {}, h('dt', {}, t(name)), h('dd', {}, value))),
    ),
  );
}

function historyPanel(changes) {
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
              { data: { kind: { up: 'completed', down: 'failed', suspect: 'warn', quarantined: 'failed', draining: 'cancelled' }[change.phase] } },
              h('span', { class: 'step-dot', 'aria-hidden': 'true' }),
              h(
                'div',
                {},
                h('strong', {}, t(`phase.${change.phase}`)),
                change.reason && h('p', { class: 'sub' }, change.reason),
              ),
              h('time', { datetime: change.at, title: fullTime(change.at) }, timeOfDay(change.at)),
            ),
          ),
        )
      : h('p', { class: 'faint' }, t('instance.history.none')),
  );
}
