// Publishing the workflow of a form under a name: which of its inputs others fill in, and what those are called.

import { call } from '../../base/api.js';
import { freshId, h, put, say } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { go, link } from '../../base/router.js';
import { FieldError } from '../form/field.js';
import { problemList, sentence } from '../ui/panels.js';
import { dialog, toast, toastError } from '../ui/toast.js';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** What most people want to fill in. */
const LIKELY = ['text', 'seed', 'file'];
/** As many as the server gives at once; more may be published. */
const PAGE = 200;

/** `fields` are those of the form; what was typed into them becomes the default of a param. */
export async function publish(workflow, fields) {
  let published;
  try {
    published = await readPublished();
  } catch (error) {
    toastError(error);
    return;
  }
  const stored = await dialog(t('publish.title'), (close) => form(workflow, fields, published, close));
  if (!stored) return;
  toast('good', t('publish.done', { name: stored.name, n: stored.version }));
  go(link(['workflows', stored.name]));
}

/** All that is published, by name: a name that is missing here would be sent as a new one, and be refused. */
async function readPublished() {
  const found = new Map();
  for (let offset = 0; ; ) {
    const { total, items } = await call('GET', `workflows?limit=${PAGE}&offset=${offset}`);
    for (const item of items) found.set(item.name, item);
    offset += items.length;
    if (items.length === 0 || offset >= total) return found;
  }
}

function form(workflow, fields, first, close) {
  let published = first;
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
  const send = h('button', { type: 'submit', class: 'primary', data: { test: 'publish-do' } }, t('publish.do'));
  const rows = rowsOf(fields);
  name.addEventListener('input', () => {
    tellState();
    const before = published.get(name.value);
    if (before?.description && description.value === '') description.value = before.description;
  });
  function tellState() {
    const before = published.get(name.value);
    const words = before ? t('publish.next', { n: before.version + 1 }) : t('publish.new');
    say(state, NAME.test(name.value) ? words : t('publish.name.hint'));
  }
  async function submit(event) {
    event.preventDefault();
    put(error);
    try {
      if (!NAME.test(name.value)) throw new FieldError(t('publish.bad'));
      const graph = workflow.graph ?? workflow.text;
      const about = description.value.trim() ? `"description": ${JSON.stringify(description.value.trim())}, ` : '';
      // Somebody else may have published under the name meanwhile: then it is a conflict, and nothing is lost.
      const version = published.get(name.value)?.version ?? 0;
      send.disabled = true;
      close(
        await call('PUT', `workflows/${name.value}`, {
          body: `{${about}"version": ${version}, "params": ${paramsOf(rows)}, "workflow": ${graph}}`,
        }),
      );
    } catch (failure) {
      if (!(failure instanceof FieldError) && !failure.type) throw failure;
      const words = failure instanceof FieldError ? failure.message : sentence(failure);
      put(error, h('p', { class: 'form-error' }, words), problemList(failure));
      if (failure.type === 'version_conflict') await readAgain();
    } finally {
      send.disabled = false;
    }
  }
  /** After a conflict: what there is now is what a second try follows. */
  async function readAgain() {
    try {
      published = await readPublished();
      tellState();
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
    h('div', { class: 'row end' }, h('button', { type: 'button', onclick: () => close(null) }, t('close')), send),
  );
}

/** A row for each input that can be a param: whether it is one, and its name. */
function rowsOf(fields) {
  const taken = new Set();
  return fields
    .filter(({ input }) => input.kind !== 'json')
    .map(({ node, input, item }) => {
      const plain = input.name.replaceAll(/[^A-Za-z0-9_]/g, '_');
      let called = plain;
      for (let at = 2; taken.has(called); at += 1) called = `${plain}_${at}`;
      taken.add(called);
      const words = `${node.title} · ${input.name}`;
      const check = h('input', { type: 'checkbox', checked: LIKELY.includes(input.kind), 'aria-label': words });
      const name = h('input', {
        class: 'mono',
        value: called,
        spellcheck: 'false',
        autocapitalize: 'none',
        'aria-label': t('publish.param', { input: words }),
      });
      return {
        element: h('div', { class: 'publish-param' }, h('label', { class: 'check' }, check, words), name),
        read: () => (check.checked ? { name: name.value.trim(), text: declaration(node, input, item) } : null),
      };
    });
}

function declaration(node, input, item) {
  const wish = input.kind === 'file' ? null : item.wish();
  const target = `"target": ${JSON.stringify(`${node.id}.${input.name}`)}, "type": "${typeOf(input)}"`;
  return `{${target}${wish === null ? '' : `, "default": ${wish}`}}`;
}

function typeOf({ kind, name, said }) {
  if (kind === 'file')
    return ['video', 'audio'].find((word) => name.includes(word)) ?? (/image|mask/.test(name) ? 'image' : 'file');
  if (kind === 'choice') return 'enum';
  if (kind === 'boolean') return 'boolean';
  if (kind === 'seed') return 'integer';
  if (kind === 'number') return said?.type === 'INT' ? 'integer' : 'number';
  return 'string';
}

function paramsOf(rows) {
  const chosen = rows.map((row) => row.read()).filter(Boolean);
  const names = new Set(chosen.map((item) => item.name));
  if (names.size < chosen.length || names.has('')) throw new FieldError(t('publish.twice'));
  return `{${chosen.map((item) => `${JSON.stringify(item.name)}: ${item.text}`).join(', ')}}`;
}
