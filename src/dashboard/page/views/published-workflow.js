// Published workflow view: its form, its versions, and deleting it.

import { call } from '../base/api.js';
import { freshId, h, setChildren } from '../base/dom.js';
import { timeOfDay } from '../base/format.js';
import { t } from '../base/i18n.js';
import { go, link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { readPublishedForm } from '../components/workflow/read-published-form.js';
import { confirm } from '../components/ui/dialog.js';
import { toast, toastError } from '../components/ui/toast.js';
import { draft } from '../base/drafts.js';
import { submitForm } from '../components/form/submit-form.js';

export function publishedWorkflow(root, { path, query }, scope) {
  const name = path[1];
  const requestedVersion = /^\d+$/.test(query.get('version') ?? '') ? query.get('version') : null;
  const actions = h('div', { class: 'row actions' });
  const container = h('div', { class: 'stack wide' });
  setChildren(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['workflows']) }, t('workflows'))),
    h('div', { class: 'head' }, h('h1', {}, name), actions),
    container,
  );
  const source = resource(
    scope,
    async (signal) => {
      const [where, version] = [
        `workflows/${encodeURIComponent(name)}`,
        requestedVersion ? `?version=${requestedVersion}` : '',
      ];
      const [text, schema] = await Promise.all([
        call('GET', `${where}${version}`, { signal, asText: true }),
        call('GET', `${where}/schema${version}`, { signal }),
      ]);
      return readPublishedForm(text, schema);
    },
    ({ data, error }) => {
      if (data !== null) {
        setChildren(actions, versionSelect(data.published), tasksLink(name), deleteButton(name));
        setChildren(container, lead(data.published), submitForm(data, {}, stateOf(data), scope, null));
      } else if (error?.status === 404) {
        const back = h('a', { class: 'button', href: link(['workflows']) }, t('workflows'));
        setChildren(container, emptyPanel('workflows', t('workflow.notFound'), t('workflow.notFound.text'), back));
      } else setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(6));
    },
    // Do not reload on reconnect: it would redraw the form while the user fills it in.
    false,
  );
  source.refresh();
}

/** Returns the draft of this version. */
function stateOf({ nodes, published }) {
  const fresh = () => ({
    name: `${published.name}@${published.version}`,
    fields: Object.fromEntries(nodes[0].inputs.map((input) => [`\n${input.name}`, input.isRandom ? { isRandom: true } : {}])),
    params: [],
    options: {},
    runs: [],
  });
  return draft(`workflow ${published.name}@${published.version}`, fresh);
}

const lead = ({ description, createdAt, version }) =>
  h(
    'p',
    { class: 'lead' },
    description && `${description} `,
    h('span', { class: 'faint' }, `${t('workflow.version', { n: version })} · ${timeOfDay(createdAt)}`),
  );

function versionSelect({ name, version, latestVersion, versions }) {
  const id = freshId('version');
  const choice = h(
    'select',
    { id, data: { test: 'version' } },
    [...versions].sort((a, b) => b - a).map((one) => h('option', { value: one }, t('workflow.version', { n: one }))),
  );
  choice.value = version;
  choice.addEventListener('change', () => {
    const isLatest = Number(choice.value) === latestVersion;
    go(link(['workflows', name], { version: isLatest ? '' : choice.value }));
  });
  return [h('label', { class: 'hidden', for: id }, t('workflow.version.choose')), choice];
}

const tasksLink = (name) =>
  h('a', { class: 'button', href: link(['tasks'], { workflow: name }) }, icon('tasks', 18), t('workflow.tasks'));

function deleteButton(name) {
  const act = async () => {
    if (!(await confirm(t('workflow.delete.question', { name }), t('workflow.delete.text'), t('workflow.delete')))) return;
    try {
      await call('DELETE', `workflows/${encodeURIComponent(name)}`);
      toast('good', t('workflow.deleted', { name }));
      go(link(['workflows']));
    } catch (error) {
      toastError(error);
    }
  };
  return h(
    'button',
    { type: 'button', class: 'danger', data: { test: 'delete' }, onclick: act },
    icon('trash', 18),
    t('workflow.delete'),
  );
}
