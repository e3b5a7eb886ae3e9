// The form of a workflow, its options, and the runs that were begun from it.

import { call } from '../../base/api.js';
import { h, keyed, mark, put, say } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { go, link } from '../../base/router.js';
import { changed, watch } from '../../live/topics.js';
import { refine } from './input-schema.js';
import { field, FieldError } from './field.js';
import { about, number } from '../../base/format.js';
import { problemList, problemWords, sentence, warningList } from '../ui/panels.js';
import { workflowGraph } from '../workflow/graph-view.js';
import { icon } from '../ui/icons.js';
import { publish } from '../workflow/publish-dialog.js';
import { runCard } from '../task/run-card.js';
import { COUNT_MAX, optionFields } from './run-options.js';
import { addressOf, compose, fieldOf, sketched, written } from './request-body.js';
import { sweepFields } from './sweep.js';
import { copy, toast } from '../ui/toast.js';

const RUNS_KEPT = 30;

/** `state` is the draft: fields, options and runs are kept in it; `declared` is what the instances say of the classes. */
export function submitForm(workflow, declared, state, scope, startOver) {
  const fields = [];
  const preview = h('pre', { tabindex: 0 });
  const error = h('div', { role: 'alert', class: 'submit-error' });
  const options = optionFields(state.options, () => redraw());
  const runWords = h('span', {}, t('submit.run'));
  const run = h('button', { type: 'submit', class: 'primary wide', data: { test: 'run' } }, icon('play', 18), runWords);
  const check = h(
    'button',
    { type: 'button', class: 'wide', data: { test: 'check' }, onclick: () => withBody(tryIt) },
    t('submit.check'),
  );
  const graph = workflowGraph(workflow.graphNodes ?? workflow.nodes);
  const groups = workflow.nodes.map((node) => group(node, declared[node.type], state, fields, () => redraw())).filter(Boolean);
  const total = h('p', { class: 'sub total', role: 'status', data: { test: 'total' } });
  const choices = fields.map((one) => ({ address: addressOf(workflow, one), words: wordsOf(workflow, one), ...one }));
  let isDrawn = false;
  const sweep = sweepFields(state.options, choices, () => isDrawn && redraw());
  const runs = h('div', { class: 'runs' });

  const body = () => compose(workflow, fields, state.params, options, sweep);
  /** How many tasks there would be, and why so many. */
  function reckon() {
    const [sizes, times] = [sweep.sizes(), options.times()];
    const factors = times === 1 ? sizes : [...sizes, times];
    return { factors, count: factors.reduce((product, size) => product * (size ?? 0), 1) };
  }
  function drawTotal() {
    const { factors, count } = reckon();
    const words = { n: count, count: number(count), how: factors.map(number).join(' × '), max: number(COUNT_MAX) };
    mark(total, 'data-bad', count > COUNT_MAX);
    say(
      total,
      factors.length === 0 || factors.includes(null)
        ? ''
        : t(count > COUNT_MAX ? 'total.over' : factors.length > 1 ? 'total.of' : 'total', words),
    );
    say(runWords, count > 1 && count <= COUNT_MAX ? t('submit.run.many', words) : t('submit.run'));
  }

  function redraw() {
    drawTotal();
    try {
      say(preview, sketched(workflow, body()));
    } catch (problem) {
      if (!(problem instanceof FieldError)) throw problem;
      say(preview, problem.message);
    }
  }
  /** The text of the body, or `null` after saying what is no value. */
  function checked() {
    put(error);
    try {
      const text = written(workflow, body());
      if (reckon().count > COUNT_MAX) throw new FieldError(total.textContent);
      return text;
    } catch (problem) {
      if (!(problem instanceof FieldError)) throw problem;
      put(error, h('p', { class: 'form-error' }, icon('alert', 18), problem.message));
      problem.focus();
      return null;
    }
  }
  function copyCurl() {
    const text = checked();
    if (text !== null) copy(curlOf(text));
  }
  /** Calls `act` with the body while the buttons rest; what the server refuses is shown. */
  async function withBody(act) {
    const text = checked();
    if (text === null) return;
    for (const button of [run, check]) button.disabled = true;
    try {
      await act(text);
    } catch (failure) {
      if (!failure.type) throw failure;
      tell(failure);
    } finally {
      for (const button of [run, check]) button.disabled = false;
    }
  }
  async function send(text) {
    // A repeated click is another run; a repeated request of this one is not.
    const made = await call('POST', 'tasks', { body: text, headers: { 'Idempotency-Key': randomKey() } });
    const tasks = made.tasks ?? [made];
    const askedAt = performance.now();
    state.runs.unshift(...tasks.slice(0, RUNS_KEPT).map((task) => ({ task, askedAt })));
    state.runs.length = Math.min(state.runs.length, RUNS_KEPT);
    changed('runs');
    put(error, warningNote(tasks[0]?.warnings));
    const target = made.batchId ? link(['tasks'], { batch: made.batchId }) : link(['tasks', made.id]);
    const words = made.batchId ? t('submit.done.batch', { n: made.count }) : t('submit.done');
    toast('good', words, { label: t('submit.watch'), act: () => go(target) });
  }
  /** A dry run: nothing is stored, nothing is enqueued. */
  async function tryIt(text) {
    const found = await call('POST', 'tasks?dryRun=true', { body: text });
    const where = found.checked ? t('submit.checked.where', { n: found.eligibleInstances.length }) : t('submit.checked.blind');
    const warnings = warningList(found.warnings);
    const words = h(
      'div',
      {},
      h('strong', {}, t('submit.checked')),
      h(
        'p',
        {},
        found.count > 1 && `${t('total', { n: found.count, count: number(found.count), max: number(COUNT_MAX) })} `,
        where,
      ),
      h('p', {}, times(found)),
      warnings,
    );
    put(error, h('div', { class: 'note-panel', data: { level: warnings ? 'warn' : 'good' } }, icon('check'), words));
  }
  /** Problems go to their fields where they have one. */
  function tell(failure) {
    put(error, h('p', { class: 'form-error' }, icon('alert', 18), sentence(failure)), problemList(failure));
    let first = null;
    for (const problem of failure.details ?? []) {
      const found = fieldOf(workflow, fields, problem)?.item;
      found?.complain(problemWords(problem));
      first ??= found ?? sweep.complain(problem.pointer ?? '', problemWords(problem));
    }
    if (first) first.focus();
    else error.scrollIntoView({ block: 'nearest' });
  }
  const drawRuns = () =>
    keyed(
      runs,
      state.runs,
      (item) => item.task.id,
      (item) => runCard(item, scope),
    );
  scope.add(watch('runs', drawRuns));
  drawRuns();
  isDrawn = true;
  redraw();

  return h(
    'form',
    { class: 'columns submit', onsubmit: (event) => (event.preventDefault(), withBody(send)), novalidate: true },
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
          !workflow.isNamed &&
            h('button', { type: 'button', onclick: () => publish(workflow, fields), data: { test: 'publish' } }, t('publish')),
          startOver && h('button', { type: 'button', onclick: startOver, data: { test: 'other' } }, t('submit.other')),
        ),
      ),
      warningNote(workflow.warnings),
      groups.length ? groups : h('div', { class: 'panel' }, h('p', { class: 'faint' }, t('submit.nofields'))),
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
          h('button', { type: 'button', class: 'quiet', onclick: copyCurl }, icon('copy', 18), t('submit.curl')),
        ),
      ),
      runs,
    ),
  );
}

/** When a run would begin and how long it takes, as far as the server can tell. */
function times({ etaMs, runMs }) {
  const known = (ms) => ms !== null && ms !== undefined;
  return [known(etaMs) && t('eta.starts', { time: about(etaMs) }), known(runMs) && t('eta.runs', { time: about(runMs) })]
    .filter(Boolean)
    .join(' ');
}

/** What the server found worth a word in a task that it took. */
function warningNote(warnings) {
  const list = warningList(warnings);
  return list && h('div', { class: 'note-panel', data: { level: 'warn', test: 'warnings' } }, icon('alert'), list);
}

/** `crypto.randomUUID` exists on https and localhost only; this exists everywhere. */
function randomKey() {
  return `page-${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function curlOf(body) {
  const text = body.replaceAll("'", "'\\''");
  return `curl ${location.origin}/api/tasks -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '${text}'`;
}

const wordsOf = (workflow, { node, input }) => (workflow.isNamed ? input.name : `${node.title} · ${input.name}`);

function group(node, declared, state, fields, changedField) {
  const saidOf = ({ name }) => declared?.inputs.find((said) => said.name === name);
  const inputs = node.inputs.filter((input) => input.kind !== 'link').map((input) => refine(input, saidOf(input)));
  if (inputs.length === 0) return null;
  const items = inputs.map((input) => {
    const key = `${node.id}\n${input.name}`;
    state.fields[key] ??= {};
    const item = field(node, input, state.fields[key], changedField);
    fields.push({ node, input, item });
    return item.element;
  });
  return h(
    'fieldset',
    { class: 'panel' },
    h(
      'legend',
      {},
      node.title,
      node.id && h('span', { class: 'faint' }, `${node.title === node.type ? '' : `${node.type} · `}#${node.id}`),
    ),
    h('div', { class: 'fields' }, items),
  );
}
