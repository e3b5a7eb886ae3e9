// Submitting: a workflow becomes a form, the form becomes a task, the task is watched beside it.

import { call } from '../base/api.js';
import { h, put } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { member, parseJson, place as placeOf } from '../base/json.js';
import { link, rewrite } from '../base/router.js';
import { PLAIN_IMAGE, TEXT_TO_IMAGE } from '../parts/samples.js';
import { dropAnywhere } from '../parts/drop.js';
import { failedPanel, waitingPanel } from '../parts/failure.js';
import { icon } from '../parts/icons.js';
import { adoptParams } from '../parts/params.js';
import { promptOfPng } from '../parts/png.js';
import { toast } from '../parts/toast.js';
import { readWorkflow } from '../parts/workflow.js';
import { draft } from './drafts.js';
import { submitForm } from './submit-form.js';

/** The server's own limit is 8 MiB. */
const TEXT_MAX = 32_000_000;

const fresh = () => ({ text: null, name: '', fields: {}, params: [], options: {}, runs: [], from: null });

export function submit(root, { query }, scope) {
  const state = draft('submit', fresh);
  const from = query.get('from');
  const body = h('div', { class: 'stack wide' });
  put(root, h('div', { class: 'head' }, h('h1', {}, t('submit'))), body);

  const show = () => {
    const workflow = state.text === null ? null : readWorkflow(state.text);
    put(body, workflow?.form === 'api' ? submitForm(workflow, state, scope, startOver) : dropZone(load, workflow, state.text));
  };
  /** Takes a text; the fields of another graph mean nothing in this one. */
  function load(text, name) {
    const workflow = readWorkflow(text);
    const { fields, rest } = workflow.params ? adoptParams(workflow.params, workflow.nodes) : { fields: {}, rest: [] };
    Object.assign(state, { text, name, fields, params: rest, from: null });
    show();
    body.querySelector('textarea, input:not([type=file])')?.focus({ preventScroll: true });
  }
  function startOver() {
    Object.assign(state, { text: null, name: '', fields: {}, params: [], from: null });
    rewrite(link(['submit']));
    show();
  }
  dropAnywhere(root, scope, ([file]) => readFile(file, load));
  if (from && state.from !== from) loadTask(from, state, body, show, scope);
  else show();
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

function dropZone(load, workflow, text) {
  const picker = h('input', {
    type: 'file',
    accept: '.json,.png,application/json,image/png',
    class: 'hidden-input',
    'aria-label': t('drop.choose'),
  });
  picker.addEventListener('change', () => readFile(picker.files[0], load));
  const pasted = h('textarea', {
    class: 'mono',
    rows: 8,
    spellcheck: 'false',
    placeholder: '{"3": {"class_type": "KSampler", "inputs": {…}}, …}',
    'aria-label': t('drop.paste'),
    value: workflow ? text.slice(0, 20_000) : '',
  });
  pasted.addEventListener('paste', () =>
    setTimeout(() => readWorkflow(pasted.value).form === 'api' && load(pasted.value, t('drop.pasted'))),
  );
  return h(
    'div',
    { class: 'stack' },
    workflow && explain(workflow, text),
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
  if (workflow.form === 'ui') return note('warn', t('form.ui'), t('form.ui.text'));
  if (workflow.form === 'none') return note('bad', t('form.none'), t('form.none.text'));
  const { line, column } = placeOf(text, workflow.error.at);
  return note('bad', t('form.broken'), t('form.broken.text', { line, column, why: workflow.error.message }));
}

const note = (level, title, text) =>
  h(
    'div',
    { class: 'note-panel', role: 'alert', data: { level } },
    icon('alert'),
    h('div', {}, h('strong', {}, title), h('p', {}, text)),
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
