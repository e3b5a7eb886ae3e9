// Submitting: a workflow becomes a form, the form becomes a task, the task is watched beside it.

import { call } from '../base/api.js';
import { h, put } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { member, parseJson, place as placeOf } from '../base/json.js';
import { link, rewrite } from '../base/router.js';
import { declaredOf } from '../live/node-classes.js';
import { PLAIN_IMAGE, TEXT_TO_IMAGE } from '../components/workflow/samples.js';
import { dropAnywhere } from '../components/ui/drop-zone.js';
import { failedPanel, problemList, waitingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { adoptParams } from '../components/form/prefill.js';
import { promptOfPng } from '../components/workflow/png-prompt.js';
import { toast } from '../components/ui/toast.js';
import { readWorkflow } from '../components/workflow/parse-workflow.js';
import { draft } from '../base/drafts.js';
import { submitForm } from '../components/form/submit-form.js';

/** The server's own limit is 8 MiB. */
const TEXT_MAX = 32_000_000;

const fresh = () => ({
  text: null,
  name: '',
  fields: {},
  params: [],
  given: null,
  converted: null,
  options: {},
  runs: [],
  from: null,
});

export function submit(root, { query }, scope) {
  const state = draft('submit', fresh);
  const from = query.get('from');
  const body = h('div', { class: 'stack wide' });
  put(root, h('div', { class: 'head' }, h('h1', {}, t('submit'))), body);
  let turn = 0;

  /** What there is of the draft: a form once all is known that it needs, until then what was there before. */
  async function show() {
    turn += 1;
    const mine = turn;
    const workflow = state.text === null ? null : readWorkflow(state.text);
    if (workflow?.form !== 'api' && workflow?.form !== 'ui') {
      put(body, dropZone(load, workflow && explain(workflow, state.text), state.text));
      return;
    }
    if (!body.firstChild) put(body, waitingPanel(6));
    try {
      const graph = workflow.form === 'ui' ? await converted(workflow) : workflow;
      const declared = await declaredOf(graph.nodes);
      if (mine !== turn || !scope.isOpen) return;
      if (state.given) {
        const { fields, rest } = adoptParams(state.given, graph.nodes);
        Object.assign(state, { fields, params: rest, given: null });
      }
      put(body, submitForm(graph, declared, state, scope, startOver));
    } catch (error) {
      if (!error.type) throw error;
      if (mine !== turn || !scope.isOpen) return;
      const isRefused = error.status === 400 || error.status === 422;
      if (isRefused) put(body, dropZone(load, note('warn', t('form.ui'), t('form.ui.text'), problemList(error)), state.text));
      else put(body, failedPanel(error, show));
    }
  }
  /** The editor's format with the nodes that the server makes of it; what is sent is the document as it came. */
  async function converted({ text }) {
    state.converted ??= await convert(text);
    return { ...readWorkflow(state.converted.graph), text, graph: state.converted.graph, warnings: state.converted.warnings };
  }
  /** Takes a text; the fields of another graph mean nothing in this one. */
  async function load(text, name) {
    const { params } = readWorkflow(text);
    Object.assign(state, { text, name, fields: {}, params: [], given: params ?? null, converted: null, from: null });
    await show();
    if (scope.isOpen) body.querySelector('textarea, input:not([type=file])')?.focus({ preventScroll: true });
  }
  function startOver() {
    Object.assign(state, fresh(), { options: state.options, runs: state.runs });
    rewrite(link(['submit']));
    show();
  }
  dropAnywhere(root, scope, ([file]) => readFile(file, load));
  if (from && state.from !== from) loadTask(from, state, body, show, scope);
  else show();
}

/** What a dry run makes of a document of the editor: `{graph, warnings}`, every number as it was. */
async function convert(text) {
  const answer = await call('POST', 'tasks?dryRun=true', { body: `{"workflow": ${text}}`, asText: true });
  const graph = member(member(parseJson(answer), 'data'), 'workflow');
  return { graph: answer.slice(graph.start, graph.end), warnings: JSON.parse(answer).data.warnings ?? [] };
}

/** "Run again with changes": the graph of a task as it ran. */
async function loadTask(id, state, body, show, scope) {
  put(body, waitingPanel(6));
  try {
    const text = await call('GET', `tasks/${encodeURIComponent(id)}?include=workflow`, { asText: true });
    if (!scope.isOpen) return;
    const workflow = member(member(parseJson(text), 'data'), 'workflow');
    if (!workflow) throw Object.assign(new Error(t('submit.gone')), { type: 'gone' });
    Object.assign(state, {
      text: text.slice(workflow.start, workflow.end),
      name: t('submit.from', { id: id.slice(-6) }),
      fields: {},
      params: [],
      given: null,
      converted: null,
      from: id,
    });
    show();
  } catch (error) {
    if (scope.isOpen)
      put(
        body,
        failedPanel(error, () => loadTask(id, state, body, show, scope)),
      );
  }
}

/** `said` is why what was given is no workflow. */
function dropZone(load, said, text) {
  const picker = h('input', {
    type: 'file',
    accept: '.json,.png,application/json,image/png',
    class: 'hidden-input',
    tabindex: -1,
    'aria-label': t('drop.choose'),
  });
  picker.addEventListener('change', () => readFile(picker.files[0], load));
  const pasted = h('textarea', {
    class: 'mono',
    rows: 8,
    spellcheck: 'false',
    placeholder: '{"3": {"class_type": "KSampler", "inputs": {…}}, …}',
    'aria-label': t('drop.paste'),
    value: said ? text.slice(0, 20_000) : '',
  });
  pasted.addEventListener('paste', () =>
    setTimeout(() => ['api', 'ui'].includes(readWorkflow(pasted.value).form) && load(pasted.value, t('drop.pasted'))),
  );
  return h(
    'div',
    { class: 'stack' },
    said,
    h(
      'div',
      { class: 'drop', data: { test: 'drop' } },
      icon('upload', 32),
      h('h2', {}, t('drop.title')),
      h('p', { class: 'faint' }, t('drop.text')),
      h(
        'div',
        { class: 'row' },
        h('button', { type: 'button', class: 'primary', onclick: () => picker.click() }, t('drop.choose')),
        picker,
      ),
      h(
        'div',
        { class: 'row' },
        h('span', { class: 'faint' }, t('drop.samples')),
        h(
          'button',
          { type: 'button', class: 'link', data: { test: 'sample' }, onclick: () => load(TEXT_TO_IMAGE, t('sample.text')) },
          t('sample.text'),
        ),
        h('button', { type: 'button', class: 'link', onclick: () => load(PLAIN_IMAGE, t('sample.plain')) }, t('sample.plain')),
      ),
    ),
    h(
      'div',
      { class: 'panel stack' },
      h('h2', {}, t('drop.paste')),
      pasted,
      h(
        'div',
        { class: 'row end' },
        h(
          'button',
          { type: 'button', data: { test: 'use' }, onclick: () => load(pasted.value, t('drop.pasted')) },
          t('drop.use'),
        ),
      ),
    ),
  );
}

function explain(workflow, text) {
  if (workflow.form === 'none') return note('bad', t('form.none'), t('form.none.text'));
  const { line, column } = placeOf(text, workflow.error.at);
  return note('bad', t('form.broken'), t('form.broken.text', { line, column, why: workflow.error.message }));
}

const note = (level, title, text, ...more) =>
  h(
    'div',
    { class: 'note-panel', role: 'alert', data: { level } },
    icon('alert'),
    h('div', {}, h('strong', {}, title), h('p', {}, text), more),
  );

async function readFile(file, load) {
  if (!file) return;
  if (file.size > TEXT_MAX) {
    toast('bad', t('drop.large'));
    return;
  }
  if (file.type === 'image/png' || /\.png$/i.test(file.name)) {
    const prompt = promptOfPng(await file.arrayBuffer());
    if (prompt === null) toast('bad', t('drop.nopng'));
    else load(prompt, file.name);
    return;
  }
  load(await file.text(), file.name);
}
