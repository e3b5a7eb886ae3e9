// Tasks view: a filtered, paginated, live list. Filter and page are part of the route.

import { callPage } from '../base/api.js';
import { h, reconcile, setAttr, setChildren, setText, scope as newScope } from '../base/dom.js';
import { number } from '../base/format.js';
import { t } from '../base/i18n.js';
import { go, link, pageOf } from '../base/router.js';
import { resource } from '../live/resource.js';
import { STATUSES, known, withUpdates } from '../live/store.js';
import { subscribe } from '../live/pub-sub.js';
import { batchPanel } from '../components/task/batch-panel.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { pager } from '../components/ui/pager.js';
import { taskTableHead, taskRow } from '../components/task/task-row.js';
import { toast } from '../components/ui/toast.js';

const PAGE_SIZE = 50;

export function tasks(root, first, scope) {
  let query = read(first);
  const chips = filterChips(() => query);
  const total = h('p', { class: 'faint', role: 'status' });
  const container = h('div');
  const rows = h('div', { role: 'rowgroup' });
  const table = h(
    'div',
    { class: 'table panel', role: 'table', 'aria-label': t('tasks') },
    h('div', { role: 'rowgroup' }, taskTableHead()),
    rows,
  );
  const pages = pager((page) => go(listLink(query, { page: page > 1 ? page : '' })));
  const batch = h('div', { class: 'stack' });
  let batchScope = null;
  scope.add(() => batchScope?.close());
  const drawBatch = () => {
    const shown = `${query.batch} ${query.workflow}`;
    if (batch.shown === shown) return;
    batch.shown = shown;
    batchScope?.close();
    batchScope = newScope();
    setChildren(batch, query.batch && batchPanel(query.batch, batchScope), query.workflow && workflowFilter(query.workflow));
  };
  setChildren(
    root,
    h(
      'div',
      { class: 'head' },
      h('h1', {}, t('tasks')),
      finder(),
      h('a', { class: 'button primary', href: link(['submit']) }, icon('submit', 18), t('submit.new')),
    ),
    batch,
    chips.element,
    container,
    h('div', { class: 'row between' }, total, pages.element),
  );

  const draw = ({ data, error, requestedAt, isOld }) => {
    setAttr(table, 'aria-busy', isOld);
    if (data === null) {
      setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(8));
      return;
    }
    setAttr(container, 'data-old', isOld || error !== null);
    setText(total, data.total ? t('tasks.total', { n: data.total, total: number(data.total) }) : '');
    pages.update(query.page, Math.ceil(data.total / PAGE_SIZE));
    if (data.items.length === 0) setChildren(container, noTasks(query));
    else {
      if (table.parentNode !== container) setChildren(container, table);
      reconcile(
        rows,
        data.items.map((item) => withUpdates(item, requestedAt)),
        (item) => item.id,
        taskRow,
      );
    }
  };
  const source = resource(
    scope,
    (signal) =>
      callPage(
        'tasks',
        {
          limit: PAGE_SIZE,
          offset: (query.page - 1) * PAGE_SIZE,
          ...(query.statuses.length && { status: query.statuses.join(',') }),
          ...(query.batch && { batchId: query.batch }),
          ...(query.workflow && { workflow: query.workflow }),
        },
        { signal },
      ),
    draw,
  );
  const redraw = () => source.state.data && draw(source.state);
  scope.add(subscribe('task', (ids) => source.state.data?.items.some((item) => ids.has(item.id)) && redraw()));
  // A new status may move tasks into or out of this page.
  scope.add(subscribe('statuses', () => source.refreshSoon(1_500)));
  scope.add(subscribe('overview', chips.update));
  // Durations of unfinished tasks advance without messages.
  scope.every(
    1_000,
    () => document.visibilityState === 'visible' && source.state.data?.items.some((item) => !item.finishedAt) && redraw(),
  );
  chips.update();
  drawBatch();
  source.refresh();

  return {
    update(route) {
      query = read(route);
      chips.update();
      drawBatch();
      source.restart();
    },
  };
}

/** Returns the link of this list with other filters. */
const listLink = ({ statuses, batch, workflow }, more) =>
  link(['tasks'], { status: statuses.join(','), batch, workflow, ...more });

function read({ query }) {
  const requested = (query.get('status') ?? '').split(',');
  return {
    statuses: STATUSES.filter((status) => requested.includes(status)),
    batch: query.get('batch') ?? '',
    workflow: query.get('batch') ? '' : (query.get('workflow') ?? ''),
    page: pageOf(query),
  };
}

function filterChips(query) {
  const counts = {
    pending: 'pendingTasks',
    running: 'runningTasks',
    completed: 'completedTasks',
    failed: 'failedTasks',
    cancelled: 'cancelledTasks',
  };
  const make = (status) => {
    const figure = h('span', { class: 'note' });
    const act = () => {
      const { statuses } = query();
      const next =
        status === null ? [] : statuses.includes(status) ? statuses.filter((item) => item !== status) : [...statuses, status];
      go(listLink(query(), { status: STATUSES.filter((item) => next.includes(item)).join(',') }));
    };
    const element = h(
      'button',
      { type: 'button', class: 'chip', data: { status: status ?? 'all' }, onclick: act },
      status && h('span', { class: 'dot', 'aria-hidden': 'true' }),
      t(status ? `status.${status}` : 'filter.all'),
      figure,
    );
    return { status, figure, element };
  };
  const chips = [null, ...STATUSES].map(make);
  return {
    element: h(
      'div',
      { class: 'chips', role: 'group', 'aria-label': t('filter') },
      chips.map((chip) => chip.element),
    ),
    update() {
      const { statuses } = query();
      for (const { status, figure, element } of chips) {
        setAttr(element, 'aria-pressed', String(status === null ? statuses.length === 0 : statuses.includes(status)));
        // The counts cover all tasks, so hide them for one batch or workflow.
        const isAll = !query().batch && !query().workflow;
        if (status && known.overview) setText(figure, isAll ? number(known.overview[counts[status]]) : '');
      }
    },
  };
}

/** Names the workflow of the listed tasks, with a link to all tasks. */
const workflowFilter = (name) =>
  h(
    'p',
    { class: 'row lead' },
    h('span', {}, `${t('workflow')} `, h('a', { href: link(['workflows', name]) }, name)),
    h('a', { class: 'button quiet', href: link(['tasks']) }, icon('cancel', 16), t('tasks.all')),
  );

/** Search field that opens a task by its id. */
function finder() {
  const input = h('input', {
    type: 'search',
    placeholder: t('find.task'),
    'aria-label': t('find.task'),
    spellcheck: 'false',
    autocapitalize: 'none',
  });
  const find = (event) => {
    event.preventDefault();
    const id = input.value.trim().toLowerCase();
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) go(link(['tasks', id]));
    else toast('bad', t('find.task.invalid'));
  };
  return h('form', { class: 'finder', role: 'search', onsubmit: find }, icon('search', 18), input);
}

function noTasks(query) {
  const { statuses, page, batch, workflow } = query;
  if (page > 1)
    return emptyPanel(
      'tasks',
      t('page.empty'),
      t('page.empty.text'),
      h('a', { class: 'button', href: listLink(query, {}) }, t('page.first')),
    );
  if (statuses.length || batch || workflow)
    return emptyPanel(
      'tasks',
      t('tasks.noMatch'),
      t('tasks.noMatch.text'),
      h('a', { class: 'button', href: link(['tasks']) }, t('filter.all')),
    );
  return emptyPanel(
    'tasks',
    t('tasks.none'),
    t('tasks.none.text'),
    h('a', { class: 'button primary', href: link(['submit']) }, t('submit.new')),
  );
}
