// Task view: progress, outputs, failure, timeline, details, graph and actions of one task.

import { call } from '../base/api.js';
import { h, setAttr, setChildren, setText } from '../base/dom.js';
import { approxDuration, shortId } from '../base/format.js';
import { t } from '../base/i18n.js';
import { member, parseJson } from '../base/json.js';
import { go, link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { isEnded, withUpdates } from '../live/store.js';
import { subscribe } from '../live/pub-sub.js';
import { bar, statusBadge } from '../components/ui/badges.js';
import { failurePanel } from '../components/task/failure.js';
import { waitingReason } from '../components/task/waiting-reason.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { workflowGraph } from '../components/workflow/graph-view.js';
import { icon } from '../components/ui/icons.js';
import { livePreview } from '../components/task/live-preview.js';
import { outputList } from '../components/task/outputs.js';
import { canRetry, retry } from '../components/task/retry.js';
import { drawDetails, hasEta } from '../components/task/task-details.js';
import { timeline } from '../components/task/timeline.js';
import { confirm, copy } from '../components/ui/dialog.js';
import { toast, toastError } from '../components/ui/toast.js';
import { parseWorkflow } from '../components/workflow/parse-workflow.js';

/** Refresh interval of a waiting task, because no message announces a changed waiting reason. */
const WAITING_REFRESH_MS = 3_000;

export function task(root, { path }, scope) {
  const id = path[1];
  const container = h('div', { class: 'stack wide' });
  const badge = h('span');
  const actions = h('div', { class: 'row actions' });
  setChildren(
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
    container,
  );
  setChildren(container, loadingPanel(6));
  let page = null;

  const draw = ({ data, error, requestedAt }) => {
    if (data === null) {
      setChildren(actions);
      if (error?.status === 404)
        setChildren(
          container,
          emptyPanel(
            'tasks',
            t('task.notFound'),
            t('task.notFound.text'),
            h('a', { class: 'button', href: link(['tasks']) }, t('tasks')),
          ),
        );
      else setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(6));
      return;
    }
    const now = withUpdates(data.task, requestedAt);
    page ??= build(container, data, scope);
    page.update(now);
    drawActions(actions, badge, now, source.refresh);
  };
  const source = resource(scope, (signal) => readTask(id, signal), draw);
  scope.add(
    subscribe('task', (ids) => {
      if (!ids.has(id) || !source.state.data) return;
      draw(source.state);
      const updated = withUpdates(source.state.data.task, source.state.requestedAt);
      // Read the task again for its complete attempts, times and outputs.
      if (updated.status !== source.state.data.task.status || updated.attempt !== source.state.data.task.attempt)
        source.refreshSoon(400);
    }),
  );
  scope.every(
    WAITING_REFRESH_MS,
    () => document.visibilityState === 'visible' && source.state.data?.task.status === 'pending' && source.refreshSoon(),
  );
  scope.every(1_000, () => source.state.data && !isEnded(source.state.data.task.status) && draw(source.state));
  source.refresh();
}

/** Loads a task, and its graph with every number as submitted. */
async function readTask(id, signal) {
  const text = await call('GET', `tasks/${encodeURIComponent(id)}?include=workflow`, { signal, asText: true });
  const data = member(parseJson(text), 'data');
  const raw = (name) => {
    const value = member(data, name);
    return value ? text.slice(value.start, value.end) : null;
  };
  const { workflow: _workflow, params: _params, ...task } = JSON.parse(text).data;
  task.metadata = raw('metadata');
  // A drawn seed may not fit into a double.
  const seeds = member(member(data, 'resolved'), 'seeds');
  if (seeds)
    task.resolved = {
      seeds: Object.fromEntries(seeds.members.map(({ key, value }) => [key, text.slice(value.start, value.end)])),
    };
  const workflow = raw('workflow');
  const read = workflow ? parseWorkflow(workflow) : null;
  return { task, workflow, params: raw('params'), nodes: read?.form === 'api' ? read.nodes : [] };
}

function build(container, { task: { id }, workflow, params, nodes }, scope) {
  const titles = new Map(nodes.map((node) => [node.id, node.title]));
  const progress = bar(t('column.progress'));
  const percent = h('strong', { class: 'figure', data: { test: 'progress' } });
  const activity = h('p', { class: 'activity' });
  const preview = livePreview(id, scope);
  const live = h(
    'section',
    { class: 'panel live', 'aria-label': t('column.progress') },
    h('div', { class: 'row between' }, activity, percent),
    progress.element,
    preview.element,
  );
  const error = h('div');
  const outputs = h('section', { class: 'panel' });
  const steps = timeline();
  const timelinePanel = h('section', { class: 'panel' }, h('h2', {}, t('timeline')), steps.element);
  const details = h('section', { class: 'panel' });
  const graph = nodes.length ? workflowGraph(nodes) : null;
  setChildren(
    container,
    h(
      'div',
      { class: 'columns' },
      h('div', { class: 'stack' }, live, error, outputs),
      h('div', { class: 'stack' }, timelinePanel, details),
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
      h('details', { class: 'panel' }, h('summary', {}, t('task.params')), h('pre', { tabindex: 0 }, params)),
  );
  const outputFigures = outputList((node) => titles.get(node));
  const outputsTitle = h('h2', {});
  const noOutputs = h('p', { class: 'faint' }, t('outputs.none'));
  setChildren(outputs, outputsTitle, outputFigures.element, noOutputs);
  let drawnError = '';
  return {
    update(now) {
      live.hidden = isEnded(now.status);
      setAttr(live, 'data-status', now.status);
      progress.update(now.progress, now.status);
      setText(percent, now.status === 'pending' ? '' : `${now.progress} %`);
      setText(activity, activityText(now, titles));
      graph?.update({ current: now.currentNode, failed: now.status === 'failed' ? now.error?.nodeId : undefined });
      steps.update(now);
      drawDetails(details, now);
      const list = now.result?.outputs ?? [];
      outputs.hidden = list.length === 0 && now.status !== 'completed';
      setText(outputsTitle, t('outputs', { n: list.length }));
      noOutputs.hidden = list.length > 0;
      outputFigures.update(list);
      preview.update(now);
      // Keep the failure of the last attempt visible while the next one waits.
      const failure = now.status !== 'completed' && now.status !== 'cancelled' ? now.error : null;
      const errorKey = JSON.stringify(failure ?? null);
      if (errorKey !== drawnError) {
        drawnError = errorKey;
        setChildren(error, failure && failurePanel(failure, titles.get(failure.nodeId)));
      }
    },
  };
}

function activityText(task, titles) {
  if (task.cancelRequested) return t('cancel.requested');
  if (task.status === 'pending') {
    const reason = task.waitingFor ? t('waiting', { reason: waitingReason(task.waitingFor) }) : t('status.pending');
    return hasEta(task) ? `${reason} · ${t('eta.startsIn', { time: approxDuration(task.etaMs) })}` : reason;
  }
  const node = task.currentNode && t('runningNode', { node: titles.get(task.currentNode) ?? task.currentNode });
  const parts = [
    node || t(`status.${task.status}`),
    node && task.steps > 1 && `${task.step} / ${task.steps}`,
    task.remainingMs > 0 && t('eta.remaining', { time: approxDuration(task.remainingMs) }),
  ];
  return parts.filter(Boolean).join(' · ');
}

function drawActions(container, badgeContainer, task, refresh) {
  const offersRetry = (task.status === 'failed' || task.status === 'cancelled') && canRetry();
  const key = `${task.status} ${task.cancelRequested} ${offersRetry}`;
  if (container.drawn === key) return;
  container.drawn = key;
  setChildren(badgeContainer, statusBadge(task.status).element);
  const act = async (button, what) => {
    button.disabled = true;
    try {
      await what();
    } catch (error) {
      toastError(error);
    }
    // Redraw the actions, because the status may have changed even if the request failed.
    container.drawn = '';
    refresh();
  };
  const cancel = async (event) => {
    const button = event.currentTarget;
    if (task.status === 'running' && !(await confirm(t('cancel.question'), t('cancel.question.text'), t('cancel.confirm'))))
      return;
    await act(button, async () => {
      await call('DELETE', `tasks/${task.id}`);
      toast('good', t('cancel.done'));
    });
  };
  setChildren(
    container,
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
      t('editAndRerun'),
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
