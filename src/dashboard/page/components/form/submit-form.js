// Form of a workflow, its run options, and the tasks submitted from it.

import { call } from '../../base/api.js';
import { h, reconcile, setAttr, setChildren, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { go, link } from '../../base/router.js';
import { publish, subscribe } from '../../live/pub-sub.js';
import { shownInputs } from './input-schema.js';
import { field, FieldError } from './field.js';
import { approxDuration, number } from '../../base/format.js';
import { errorText, problemList, problemText, warningList } from '../ui/error-text.js';
import { workflowGraph } from '../workflow/graph-view.js';
import { icon } from '../ui/icons.js';
import { openPublishDialog } from '../workflow/publish-dialog.js';
import { runCard } from '../task/submitted-task-card.js';
import { COUNT_MAX, runOptions } from './run-options.js';
import { sweepAddress, readForm, fieldOfProblem, requestPreview, requestBody } from './request-body.js';
import { sweepFields } from './sweep.js';
import { copy } from '../ui/dialog.js';
import { toast } from '../ui/toast.js';

/** Most recent runs shown beside the form. */
const RUNS_KEPT = 30;

/** `state` is the draft with fields, options and runs; `schemas` maps node classes to their input schemas. */
export function submitForm(workflow, schemas, state, scope, startOver) {
  const fields = [];
  const preview = h('pre', { tabindex: 0 });
  const error = h('div', { role: 'alert', class: 'submit-error' });
  const options = runOptions(state.options, () => redraw());
  const runLabel = h('span', {}, t('submit.run'));
  const run = h('button', { type: 'submit', class: 'primary wide', data: { test: 'run' } }, icon('play', 18), runLabel);
  const check = h(
    'button',
    { type: 'button', class: 'wide', data: { test: 'check' }, onclick: () => withBody(dryRun) },
    t('submit.validate'),
  );
  const graph = workflowGraph(workflow.graphNodes ?? workflow.nodes);
  const groups = workflow.nodes
    .map((node) => nodeFields(node, schemas[node.type], state, fields, () => redraw()))
    .filter(Boolean);
  const total = h('p', { class: 'sub total', role: 'status', data: { test: 'total' } });
  const choices = fields.map((one) => ({ address: sweepAddress(workflow, one), label: labelOf(workflow, one), ...one }));
  let isDrawn = false;
  const sweep = sweepFields(state.options, choices, () => isDrawn && redraw());
  const runs = h('div', { class: 'runs' });

  const body = () => readForm(workflow, fields, state.params, options, sweep);
  /** Returns the number of tasks and its factors: the sizes of the sweep, and the count. */
  function countTasks() {
    const [sizes, times] = [sweep.sizes(), options.times()];
    const factors = times === 1 ? sizes : [...sizes, times];
    return { factors, count: factors.reduce((product, size) => product * (size ?? 0), 1) };
  }
  function drawTotal() {
    const { factors, count } = countTasks();
    const values = { n: count, count: number(count), product: factors.map(number).join(' × '), max: number(COUNT_MAX) };
    setAttr(total, 'data-bad', count > COUNT_MAX);
    setText(
      total,
      factors.length === 0 || factors.includes(null)
        ? ''
        : t(count > COUNT_MAX ? 'total.tooMany' : factors.length > 1 ? 'total.product' : 'total', values),
    );
    setText(runLabel, count > 1 && count <= COUNT_MAX ? t('submit.runMany', values) : t('submit.run'));
  }

  function redraw() {
    drawTotal();
    try {
      setText(preview, requestPreview(workflow, body()));
    } catch (problem) {
      if (!(problem instanceof FieldError)) throw problem;
      setText(preview, problem.message);
    }
  }
  /** Returns the body, or shows the invalid field and returns `null`. */
  function validBody() {
    setChildren(error);
    try {
      const text = requestBody(workflow, body());
      if (countTasks().count > COUNT_MAX) throw new FieldError(total.textContent);
      return text;
    } catch (problem) {
      if (!(problem instanceof FieldError)) throw problem;
      setChildren(error, h('p', { class: 'form-error' }, icon('alert', 18), problem.message));
      problem.focus();
      return null;
    }
  }
  function copyCurl() {
    const text = validBody();
    if (text !== null) copy(curlOf(text));
  }
  /** Calls `act` with the body while the buttons are disabled, and shows the server's errors. */
  async function withBody(act) {
    const text = validBody();
    if (text === null) return;
    for (const button of [run, check]) button.disabled = true;
    try {
      await act(text);
    } catch (failure) {
      if (!failure.type) throw failure;
      showProblems(failure);
    } finally {
      for (const button of [run, check]) button.disabled = false;
    }
  }
  async function submit(text) {
    // A second click submits again, but a retried request does not: its key stays the same.
    const created = await call('POST', 'tasks', { body: text, headers: { 'Idempotency-Key': randomKey() } });
    const tasks = created.tasks ?? [created];
    const requestedAt = performance.now();
    state.runs.unshift(...tasks.slice(0, RUNS_KEPT).map((task) => ({ task, requestedAt })));
    state.runs.length = Math.min(state.runs.length, RUNS_KEPT);
    publish('runs');
    setChildren(error, warningNote(tasks[0]?.warnings));
    const target = created.batchId ? link(['tasks'], { batch: created.batchId }) : link(['tasks', created.id]);
    const message = created.batchId ? t('submit.doneBatch', { n: created.count }) : t('submit.done');
    toast('good', message, { label: t('submit.view'), act: () => go(target) });
  }
  /** Validates without storing or enqueueing anything, and shows the result. */
  async function dryRun(text) {
    const result = await call('POST', 'tasks?dryRun=true', { body: text });
    const where = result.checked
      ? t('submit.checked.eligible', { n: result.eligibleInstances.length })
      : t('submit.checked.unknown');
    const warnings = warningList(result.warnings);
    const content = h(
      'div',
      {},
      h('strong', {}, t('submit.checked')),
      h(
        'p',
        {},
        result.count > 1 && `${t('total', { n: result.count, count: number(result.count), max: number(COUNT_MAX) })} `,
        where,
      ),
      h('p', {}, estimate(result)),
      warnings,
    );
    setChildren(error, h('div', { class: 'note-panel', data: { level: warnings ? 'warn' : 'good' } }, icon('check'), content));
  }
  /** Shows the server's problems, each also at its field if it has one. */
  function showProblems(failure) {
    setChildren(error, h('p', { class: 'form-error' }, icon('alert', 18), errorText(failure)), problemList(failure));
    let first = null;
    for (const problem of failure.details ?? []) {
      const found = fieldOfProblem(workflow, fields, problem)?.item;
      found?.showError(problemText(problem));
      first ??= found ?? sweep.showError(problem.pointer ?? '', problemText(problem));
    }
    if (first) first.focus();
    else error.scrollIntoView({ block: 'nearest' });
  }
  const drawRuns = () =>
    reconcile(
      runs,
      state.runs,
      (item) => item.task.id,
      (item) => runCard(item, scope),
    );
  scope.add(subscribe('runs', drawRuns));
  drawRuns();
  isDrawn = true;
  redraw();

  return h(
    'form',
    { class: 'columns submit', onsubmit: (event) => (event.preventDefault(), withBody(submit)), novalidate: true },
    h(
      'div',
      { class: 'stack' },
      h(
        'div',
        { class: 'panel row between' },
        h(
          'span',
          { class: 'names' },
          h('strong', {}, state.name),
          h('span', { class: 'sub' }, t('submit.nodes', { n: (workflow.graphNodes ?? workflow.nodes).length })),
        ),
        h(
          'span',
          { class: 'row' },
          h(
            'button',
            { type: 'button', class: 'quiet', onclick: () => copy(workflow.graph ?? workflow.text) },
            icon('copy', 18),
            t('copy.workflow'),
          ),
          !workflow.isPublished &&
            h(
              'button',
              { type: 'button', onclick: () => openPublishDialog(workflow, fields), data: { test: 'publish' } },
              t('publish'),
            ),
          startOver && h('button', { type: 'button', onclick: startOver, data: { test: 'other' } }, t('submit.replace')),
        ),
      ),
      warningNote(workflow.warnings),
      groups.length ? groups : h('div', { class: 'panel' }, h('p', { class: 'faint' }, t('submit.noFields'))),
      h('details', { class: 'panel' }, h('summary', {}, t('graph')), graph.element),
    ),
    h(
      'div',
      { class: 'stack sticky' },
      h(
        'section',
        { class: 'panel stack' },
        h('h2', {}, t('submit.options')),
        options.element,
        sweep.element,
        total,
        run,
        check,
        error,
        h(
          'details',
          {},
          h('summary', {}, t('submit.preview')),
          preview,
          h('button', { type: 'button', class: 'quiet', onclick: copyCurl }, icon('copy', 18), t('submit.copyCurl')),
        ),
      ),
      runs,
    ),
  );
}

/** Returns the estimated start and duration of a run, as far as the server knows them. */
function estimate({ etaMs, runMs }) {
  const known = (ms) => ms !== null && ms !== undefined;
  return [
    known(etaMs) && t('eta.start', { time: approxDuration(etaMs) }),
    known(runMs) && t('eta.duration', { time: approxDuration(runMs) }),
  ]
    .filter(Boolean)
    .join(' ');
}

/** A note with the server's warnings about an accepted task, or `null`. */
function warningNote(warnings) {
  const list = warningList(warnings);
  return list && h('div', { class: 'note-panel', data: { level: 'warn', test: 'warnings' } }, icon('alert'), list);
}

/** Returns an idempotency key. `crypto.randomUUID` is only available on HTTPS and localhost. */
function randomKey() {
  return `page-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function curlOf(body) {
  const text = body.replaceAll("'", "'\\''");
  return `curl ${location.origin}/api/tasks -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '${text}'`;
}

const labelOf = (workflow, { node, input }) => (workflow.isPublished ? input.name : `${node.title} · ${input.name}`);

function nodeFields(node, schema, state, fields, changed) {
  const keyOf = (name) => `${node.id}\n${name}`;
  // The draft of a choice is its JSON text.
  const chosen = (name) => {
    const text = state.fields[keyOf(name)]?.text;
    return text?.startsWith('"') ? JSON.parse(text) : text;
  };
  const list = h('div', { class: 'fields' });
  const show = () => {
    const inputs = shownInputs(node, schema, chosen);
    const shown = inputs.map((input) => {
      const draft = (state.fields[keyOf(input.name)] ??= {});
      const isCombo = Boolean(input.schema?.variants);
      const item = field(node, input, draft, isCombo ? () => show() || changed() : changed);
      return { node, input, item };
    });
    const first = fields.findIndex((one) => one.node === node);
    const others = fields.filter((one) => one.node !== node);
    others.splice(first < 0 ? others.length : first, 0, ...shown);
    fields.splice(0, fields.length, ...others);
    list.replaceChildren(...shown.map(({ item }) => item.element));
    return inputs.length === 0;
  };
  if (show()) return null;
  return h(
    'fieldset',
    { class: 'panel' },
    h(
      'legend',
      {},
      node.title,
      node.id && h('span', { class: 'faint' }, `${node.title === node.type ? '' : `${node.type} · `}#${node.id}`),
    ),
    list,
  );
}
