// Submit view: turns a workflow into a form, submits it, and shows the progress of the tasks.

import { call } from '../base/api.js';
import { h, setChildren } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { member, parseJson, position as positionOf } from '../base/json.js';
import { link, replaceRoute } from '../base/router.js';
import { nodeSchemas } from '../live/node-classes.js';
import { PLAIN_IMAGE, TEXT_TO_IMAGE } from '../components/workflow/samples.js';
import { acceptDrops } from '../components/ui/drop-zone.js';
import { problemList } from '../components/ui/error-text.js';
import { failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { prefillFields } from '../components/form/prefill.js';
import { promptFromPng } from '../components/workflow/png-prompt.js';
import { toast } from '../components/ui/toast.js';
import { parseWorkflow } from '../components/workflow/parse-workflow.js';
import { draft } from '../base/drafts.js';
import { submitForm } from '../components/form/submit-form.js';

/** Largest file that is read. The server accepts 8 MiB. */
const FILE_BYTES_MAX = 32_000_000;

const emptyDraft = () => ({
  text: null,
  name: '',
  fields: {},
  params: [],
  prefill: null,
  converted: null,
  options: {},
  runs: [],
  from: null,
});

export function submit(root, { query }, scope) {
  const state = draft('submit', emptyDraft);
  const from = query.get('from');
  const body = h('div', { class: 'stack wide' });
  setChildren(root, h('div', { class: 'head' }, h('h1', {}, t('submit'))), body);
  let generation = 0;

  /**
   * Shows the draft: the drop zone, or the form once the node schemas are loaded. Until then the previous content
   * stays.
   */
  async function show() {
    generation += 1;
    const mine = generation;
    const workflow = state.text === null ? null : parseWorkflow(state.text);
    if (workflow?.form !== 'api' && workflow?.form !== 'ui') {
      setChildren(body, dropZone(load, workflow && invalidDocument(workflow, state.text), state.text));
      return;
    }
    if (!body.firstChild) setChildren(body, loadingPanel(6));
    try {
      const graph = workflow.form === 'ui' ? await converted(workflow) : workflow;
      const schemas = await nodeSchemas(graph.nodes);
      if (mine !== generation || !scope.isOpen) return;
      if (state.prefill) {
        const { fields, rest } = prefillFields(state.prefill, graph.nodes);
        Object.assign(state, { fields, params: rest, prefill: null });
      }
      setChildren(body, submitForm(graph, schemas, state, scope, startOver));
    } catch (error) {
      if (!error.type) throw error;
      if (mine !== generation || !scope.isOpen) return;
      const isRejected = error.status === 400 || error.status === 422;
      if (isRejected)
        setChildren(
          body,
          dropZone(
            load,
            note('warn', t('document.editorFormat'), t('document.editorFormat.text'), problemList(error)),
            state.text,
          ),
        );
      else setChildren(body, failedPanel(error, show));
    }
  }
  /**
   * Returns the editor's document with the nodes that the server converts it to. The document itself is submitted
   * unchanged.
   */
  async function converted({ text }) {
    state.converted ??= await convert(text);
    return { ...parseWorkflow(state.converted.graph), text, graph: state.converted.graph, warnings: state.converted.warnings };
  }
  /** Replaces the draft by a new document. */
  async function load(text, name) {
    const { params } = parseWorkflow(text);
    Object.assign(state, { text, name, fields: {}, params: [], prefill: params ?? null, converted: null, from: null });
    await show();
    if (scope.isOpen) body.querySelector('textarea, input:not([type=file])')?.focus({ preventScroll: true });
  }
  function startOver() {
    Object.assign(state, emptyDraft(), { options: state.options, runs: state.runs });
    replaceRoute(link(['submit']));
    show();
  }
  acceptDrops(root, scope, ([file]) => readFile(file, load));
  if (from && state.from !== from) loadTask(from, state, body, show, scope);
  else show();
}

/** Converts a document in the editor's format with a dry run: `{graph, warnings}`, every number as in the document. */
async function convert(text) {
  const response = await call('POST', 'tasks?dryRun=true', { body: `{"workflow": ${text}}`, asText: true });
  const graph = member(member(parseJson(response), 'data'), 'workflow');
  return { graph: response.slice(graph.start, graph.end), warnings: JSON.parse(response).data.warnings ?? [] };
}

/** Loads the graph of a task into the draft, for "Edit and rerun". */
async function loadTask(id, state, body, show, scope) {
  setChildren(body, loadingPanel(6));
  try {
    const text = await call('GET', `tasks/${encodeURIComponent(id)}?include=workflow`, { asText: true });
    if (!scope.isOpen) return;
    const workflow = member(member(parseJson(text), 'data'), 'workflow');
    if (!workflow) throw Object.assign(new Error(t('error.gone')), { type: 'gone' });
    Object.assign(state, {
      text: text.slice(workflow.start, workflow.end),
      name: t('submit.from', { id: id.slice(-6) }),
      fields: {},
      params: [],
      prefill: null,
      converted: null,
      from: id,
    });
    show();
  } catch (error) {
    if (scope.isOpen)
      setChildren(
        body,
        failedPanel(error, () => loadTask(id, state, body, show, scope)),
      );
  }
}

/** `notice` says why `text` is not a workflow; `null` if there is none. */
function dropZone(load, notice, text) {
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
    value: notice ? text.slice(0, 20_000) : '',
  });
  pasted.addEventListener('paste', () =>
    setTimeout(() => ['api', 'ui'].includes(parseWorkflow(pasted.value).form) && load(pasted.value, t('drop.pasted'))),
  );
  return h(
    'div',
    { class: 'stack' },
    notice,
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

function invalidDocument(workflow, text) {
  if (workflow.form === 'none') return note('bad', t('document.notWorkflow'), t('document.notWorkflow.text'));
  const { line, column } = positionOf(text, workflow.error.at);
  return note(
    'bad',
    t('document.invalidJson'),
    t('document.invalidJson.text', { line, column, reason: t(`json.${workflow.error.code}`, workflow.error.values) }),
  );
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
  if (file.size > FILE_BYTES_MAX) {
    toast('bad', t('drop.tooLarge'));
    return;
  }
  if (file.type === 'image/png' || /\.png$/i.test(file.name)) {
    const prompt = promptFromPng(await file.arrayBuffer());
    if (prompt === null) toast('bad', t('drop.noPngWorkflow'));
    else load(prompt, file.name);
    return;
  }
  load(await file.text(), file.name);
}
