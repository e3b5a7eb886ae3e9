// Dialog that publishes the workflow of a form: its name, and which inputs become params.

import { call } from '../../base/api.js';
import { freshId, h, setChildren, setText } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { go, link } from '../../base/router.js';
import { FieldError } from '../form/field.js';
import { errorText, problemList } from '../ui/error-text.js';
import { dialog } from '../ui/dialog.js';
import { toast, toastError } from '../ui/toast.js';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Kinds of inputs that are preselected as params. */
const PRESELECTED_KINDS = ['text', 'seed', 'file'];
/** Page size of the list; the server's maximum. */
const PAGE_SIZE = 200;

/** Asks for name and params, and publishes. Values typed into `fields` become the defaults of the params. */
export async function openPublishDialog(workflow, fields) {
  let published;
  try {
    published = await loadPublished();
  } catch (error) {
    toastError(error);
    return;
  }
  const stored = await dialog(t('publish.title'), (close) => form(workflow, fields, published, close));
  if (!stored) return;
  toast('good', t('publish.done', { name: stored.name, n: stored.version }));
  go(link(['workflows', stored.name]));
}

/**
 * Returns all published workflows by name. The version of an existing one must be sent along, or the server reports a
 * conflict.
 */
async function loadPublished() {
  const byName = new Map();
  for (let offset = 0; ;) {
    const { total, items } = await call('GET', `workflows?limit=${PAGE_SIZE}&offset=${offset}`);
    for (const item of items) byName.set(item.name, item);
    offset += items.length;
    if (items.length === 0 || offset >= total) return byName;
  }
}

function form(workflow, fields, initial, close) {
  let published = initial;
  const name = h('input', {
    id: freshId('name'),
    name: 'name',
    spellcheck: 'false',
    autocapitalize: 'none',
    autofocus: true,
    'aria-describedby': 'publish-state',
  });
  const state = h('p', { class: 'sub', id: 'publish-state', role: 'status' }, t('publish.name.hint'));
  const description = h('textarea', { id: freshId('description'), rows: 2, maxlength: 1_000 });
  const error = h('div', { role: 'alert', class: 'submit-error' });
  const submitButton = h('button', { type: 'submit', class: 'primary', data: { test: 'publish-do' } }, t('publish.submit'));
  const rows = rowsOf(fields);
  name.addEventListener('input', () => {
    showState();
    const existing = published.get(name.value);
    if (existing?.description && description.value === '') description.value = existing.description;
  });
  function showState() {
    const existing = published.get(name.value);
    const hint = existing ? t('publish.next', { n: existing.version + 1 }) : t('publish.new');
    setText(state, NAME.test(name.value) ? hint : t('publish.name.hint'));
  }
  async function submit(event) {
    event.preventDefault();
    setChildren(error);
    try {
      if (!NAME.test(name.value)) throw new FieldError(t('publish.invalidName'));
      const graph = workflow.graph ?? workflow.text;
      const descriptionMember = description.value.trim() ? `"description": ${JSON.stringify(description.value.trim())}, ` : '';
      // If another user published under this name in the meantime, the server reports a conflict.
      const version = published.get(name.value)?.version ?? 0;
      submitButton.disabled = true;
      close(
        await call('PUT', `workflows/${name.value}`, {
          body: `{${descriptionMember}"version": ${version}, "params": ${paramsOf(rows)}, "workflow": ${graph}}`,
        }),
      );
    } catch (failure) {
      if (!(failure instanceof FieldError) && !failure.type) throw failure;
      const message = failure instanceof FieldError ? failure.message : errorText(failure);
      setChildren(error, h('p', { class: 'form-error' }, message), problemList(failure));
      if (failure.type === 'version_conflict') await reload();
    } finally {
      submitButton.disabled = false;
    }
  }
  /** After a conflict: loads the current versions, on which the next try is based. */
  async function reload() {
    try {
      published = await loadPublished();
      showState();
    } catch (failure) {
      if (!failure.type) throw failure;
      toastError(failure);
    }
  }
  return h(
    'form',
    { class: 'stack', onsubmit: submit, novalidate: true },
    h('p', { class: 'faint' }, t('publish.text')),
    h('div', { class: 'field' }, h('label', { for: name.id }, t('publish.name')), name, state),
    h('div', { class: 'field' }, h('label', { for: description.id }, t('publish.description')), description),
    h(
      'fieldset',
      { class: 'publish-params' },
      h('legend', {}, t('publish.params')),
      rows.map((row) => row.element),
    ),
    error,
    h('div', { class: 'row end' }, h('button', { type: 'button', onclick: () => close(null) }, t('close')), submitButton),
  );
}

/** Returns a row for each input that can be a param: a checkbox and its name. */
function rowsOf(fields) {
  const taken = new Set();
  return fields
    .filter(({ input }) => input.kind !== 'json')
    .map(({ node, input, item }) => {
      const base = input.name.replaceAll(/[^A-Za-z0-9_]/g, '_');
      let uniqueName = base;
      for (let at = 2; taken.has(uniqueName); at += 1) uniqueName = `${base}_${at}`;
      taken.add(uniqueName);
      const label = `${node.title} · ${input.name}`;
      const check = h('input', { type: 'checkbox', checked: PRESELECTED_KINDS.includes(input.kind), 'aria-label': label });
      const name = h('input', {
        class: 'mono',
        value: uniqueName,
        spellcheck: 'false',
        autocapitalize: 'none',
        'aria-label': t('publish.param', { input: label }),
      });
      return {
        element: h('div', { class: 'publish-param' }, h('label', { class: 'check' }, check, label), name),
        read: () => (check.checked ? { name: name.value.trim(), text: declaration(node, input, item) } : null),
      };
    });
}

function declaration(node, input, item) {
  const value = input.kind === 'file' ? null : item.jsonText();
  const target = `"target": ${JSON.stringify(`${node.id}.${input.name}`)}, "type": "${typeOf(input)}"`;
  return `{${target}${value === null ? '' : `, "default": ${value}`}}`;
}

function typeOf({ kind, name, schema }) {
  if (kind === 'file')
    return ['video', 'audio'].find((word) => name.includes(word)) ?? (/image|mask/.test(name) ? 'image' : 'file');
  if (kind === 'choice') return 'enum';
  if (kind === 'boolean') return 'boolean';
  if (kind === 'seed') return 'integer';
  if (kind === 'number') return schema?.type === 'INT' ? 'integer' : 'number';
  return 'string';
}

function paramsOf(rows) {
  const chosen = rows.map((row) => row.read()).filter(Boolean);
  const names = new Set(chosen.map((item) => item.name));
  if (names.size < chosen.length || names.has('')) throw new FieldError(t('publish.duplicateParam'));
  return `{${chosen.map((item) => `${JSON.stringify(item.name)}: ${item.text}`).join(', ')}}`;
}
