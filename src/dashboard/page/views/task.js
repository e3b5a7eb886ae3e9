// One task: how it goes, what came out, why it waits or failed, its graph, and what can be done with it.

import { call } from '../base/api.js';
import { h, mark, put, say } from '../base/dom.js';
import { about, shortId } from '../base/format.js';
import { t } from '../base/i18n.js';
import { member, parseJson } from '../base/json.js';
import { go, link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { isEnded, withNews } from '../live/store.js';
import { watch } from '../live/topics.js';
import { bar, statusBadge } from '../components/ui/badges.js';
import { emptyPanel, failedPanel, failureBlock, waitingPanel, whyItWaits } from '../components/ui/panels.js';
import { workflowGraph } from '../components/workflow/graph-view.js';
import { icon } from '../components/ui/icons.js';
import { livePreview } from '../components/task/live-preview.js';
import { outputList } from '../components/task/outputs.js';
import { canRetry, retry } from '../components/task/retry.js';
import { drawFacts, hasEta } from '../components/task/task-details.js';
import { timeline } from '../components/task/timeline.js';
import { confirm, copy, toast, toastError } from '../components/ui/toast.js';
import { readWorkflow } from '../components/workflow/parse-workflow.js';

/** Why a task waits changes without a message. */
const WAITING_AGAIN_MS = 3_000;

export function task(root, { path }, scope) {
  const id = path[1];
  const place = h('div', { class: 'stack wide' });
  const badge = h('span');
  const actions = h('div', { class: 'row actions' });
  put(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['tasks']) }, t('tasks'))),
    h(
      'div',
      { class: 'head' },
      h('h1', { class: 'mono', title: id }, shortId(id)),
      badge,
      h(
        'button',
        { type: 'button', class: 'quiet square', title: t('copy.id'), 'aria-label': t('copy.id'), onclick: () => copy(id) },
        icon('copy', 18),
      ),
      actions,
    ),
    place,
  );
  put(place, waitingPanel(6));
  let page = null;

  const draw = ({ data, error, askedAt }) => {
    if (data === null) {
      put(actions);
      if (error?.status === 404)
        put(
          place,
          emptyPanel(
            'tasks',
            t('task.gone'),
            t('task.gone.text'),
            h('a', { class: 'button', href: link(['tasks']) }, t('tasks')),
          ),
        );
      else put(place, error ? failedPanel(error, source.refresh) : waitingPanel(6));
      return;
    }
    const now = withNews(data.task, askedAt);
    page ??= build(place, data, scope);
    page.update(now);
    drawActions(actions, badge, now, source.refresh);
  };
  const source = resource(scope, (signal) => readTask(id, signal), draw);
  scope.add(
    watch('task', (ids) => {
      if (!ids.has(id) || !source.state.data) return;
      draw(source.state);
      const news = withNews(source.state.data.task, source.state.askedAt);
      // Attempts, times and outputs come whole with a new reading.
      if (news.status !== source.state.data.task.status || news.attempt !== source.state.data.task.attempt)
        source.refreshSoon(400);
    }),
  );
  scope.every(
    WAITING_AGAIN_MS,
    () => document.visibilityState === 'visible' && source.state.data?.task.status === 'pending' && source.refreshSoon(),
  );
  scope.every(1_000, () => source.state.data && !isEnded(source.state.data.task.status) && draw(source.state));
  source.refresh();
}

/** The task, and its graph with every number as it was. */
async function readTask(id, signal) {
  const text = await call('GET', `tasks/${encodeURIComponent(id)}?include=workflow`, { signal, asText: true });
  const data = member(parseJson(text), 'data');
  const raw = (name) => {
    const value = member(data, name);
    return value ? text.slice(value.start, value.end) : null;
  };
  const { workflow: _workflow, params: _params, ...task } = JSON.parse(text).data;
  task.metadata = raw('metadata');
  // A drawn seed may be larger than what a double holds.
  const seeds = member(member(data, 'resolved'), 'seeds');
  if (seeds)
    task.resolved = {
      seeds: Object.fromEntries(seeds.members.map(({ key, value }) => [key, text.slice(value.start, value.end)])),
    };
  const workflow = raw('workflow');
  const read = workflow ? readWorkflow(workflow) : null;
  return { task, workflow, params: raw('params'), nodes: read?.form === 'api' ? read.nodes : [] };
}

function build(place, { task: { id }, workflow, params, nodes }, scope) {
  const titles = new Map(nodes.map((node) => [node.id, node.title]));
  const progress = bar(t('column.progress'));
  const percent = h('strong', { class: 'figure', data: { test: 'progress' } });
  const doing = h('p', { class: 'doing' });
  const preview = livePreview(id, scope);
  const live = h(
    'section',
    { class: 'panel live', 'aria-label': t('column.progress') },
    h('div', { class: 'row between' }, doing, percent),
    progress.element,
    preview.element,
  );
  const error = h('div');
  const outputs = h('section', { class: 'panel' });
  const course = timeline();
  const life = h('section', { class: 'panel' }, h('h2', {}, t('life')), course.element);
  const facts = h('section', { class: 'panel' });
  const graph = nodes.length ? workflowGraph(nodes) : null;
  put(
    place,
    h(
      'div',
      { class: 'columns' },
      h('div', { class: 'stack' }, live, error, outputs),
      h('div', { class: 'stack' }, life, facts),
    ),
    graph &&
      h(
        'section',
        { class: 'panel' },
        h(
          'div',
          { class: 'head' },
          h('h2', {}, t('graph')),
          h('button', { type: 'button', class: 'quiet', onclick: () => copy(workflow) }, icon('copy', 18), t('copy.workflow')),
        ),
        graph.element,
      ),
    params &&
      params !== '{}' &&
      h('details', { class: 'panel' }, h('summary', {}, t('params')), h('pre', { tabindex: 0 }, params)),
  );
  const figures = outputList((node) => titles.get(node));
  const outputsTitle = h('h2', {});
  const noOutputs = h('p', { class: 'faint' }, t('outputs.none'));
  put(outputs, outputsTitle, figures.element, noOutputs);
  let drawnError = '';
  return {
    update(now) {
      live.hidden = isEnded(now.status);
      mark(live, 'data-status', now.status);
      progress.update(now.progress, now.status);
      say(percent, now.status === 'pending' ? '' : `${now.progress} %`);
      say(doing, doingWords(now, titles));
      graph?.update({ current: now.currentNode, failed: now.status === 'failed' ? now.error?.nodeId : undefined });
      course.update(now);
      drawFacts(facts, now);
      const list = now.result?.outputs ?? [];
      outputs.hidden = list.length === 0 && now.status !== 'completed';
      say(outputsTitle, t('outputs', { n: list.length }));
      noOutputs.hidden = list.length > 0;
      figures.update(list);
      preview.update(now);
      // What an attempt failed of stays readable while the next one waits.
      const failure = now.status !== 'completed' && now.status !== 'cancelled' ? now.error : null;
      const errorKey = JSON.stringify(failure ?? null);
      if (errorKey !== drawnError) {
        drawnError = errorKey;
        put(error, failure && failureBlock(failure, titles.get(failure.nodeId)));
      }
    },
  };
}

function doingWords(task, titles) {
  if (task.cancelRequested) return t('cancel.asked');
  if (task.status === 'pending') {
    const why = task.waitingFor ? t('waits', { why: whyItWaits(task.waitingFor) }) : t('status.pending');
    return hasEta(task) ? `${why} · ${t('eta.begins', { time: about(task.etaMs) })}` : why;
  }
  if (task.currentNode) return t('doing', { node: titles.get(task.currentNode) ?? task.currentNode });
  return t(`status.${task.status}`);
}

function drawActions(place, badgePlace, task, refresh) {
  const offersRetry = (task.status === 'failed' || task.status === 'cancelled') && canRetry();
  const key = `${task.status} ${task.cancelRequested} ${offersRetry}`;
  if (place.drawn === key) return;
  place.drawn = key;
  put(badgePlace, statusBadge(task.status).element);
  const act = async (button, what) => {
    button.disabled = true;
    try {
      await what();
    } catch (error) {
      toastError(error);
    }
    // What can be done now is to be said anew, whatever came of it.
    place.drawn = '';
    refresh();
  };
  const cancel = async (event) => {
    const button = event.currentTarget;
    if (task.status === 'running' && !(await confirm(t('cancel.ask'), t('cancel.ask.text'), t('cancel.do')))) return;
    await act(button, async () => {
      await call('DELETE', `tasks/${task.id}`);
      toast('good', t('cancel.done'));
    });
  };
  put(
    place,
    offersRetry &&
      h(
        'button',
        { type: 'button', data: { test: 'retry' }, onclick: (event) => act(event.currentTarget, () => retry(task.id)) },
        icon('retry', 18),
        t('retry'),
      ),
    h(
      'button',
      { type: 'button', data: { test: 'again' }, onclick: () => go(link(['submit'], { from: task.id })) },
      icon('edit', 18),
      t('runAgain'),
    ),
    !isEnded(task.status) &&
      !task.cancelRequested &&
      h(
        'button',
        { type: 'button', class: 'danger', data: { test: 'cancel' }, onclick: cancel },
        icon('cancel', 18),
        t('cancel'),
      ),
  );
}
