// One published workflow: its form, its versions, its end.

import { call } from '../base/api.js';
import { freshId, h, put } from '../base/dom.js';
import { clock } from '../base/format.js';
import { t } from '../base/i18n.js';
import { go, link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { emptyPanel, failedPanel, waitingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { readNamed } from '../components/workflow/published-form.js';
import { confirm, toast, toastError } from '../components/ui/toast.js';
import { draft } from '../base/drafts.js';
import { submitForm } from '../components/form/submit-form.js';

export function namedWorkflow(root, { path, query }, scope) {
  const name = path[1];
  const wanted = /^\d+$/.test(query.get('version') ?? '') ? query.get('version') : null;
  const actions = h('div', { class: 'row actions' });
  const place = h('div', { class: 'stack wide' });
  put(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['workflows']) }, t('workflows'))),
    h('div', { class: 'head' }, h('h1', {}, name), actions),
    place,
  );
  const source = resource(
    scope,
    async (signal) => {
      const [where, version] = [`workflows/${encodeURIComponent(name)}`, wanted ? `?version=${wanted}` : ''];
      const [text, schema] = await Promise.all([
        call('GET', `${where}${version}`, { signal, asText: true }),
        call('GET', `${where}/schema${version}`, { signal }),
      ]);
      return readNamed(text, schema);
    },
    ({ data, error }) => {
      if (data !== null) {
        put(actions, versionsOf(data.facts), tasksOf(name), remove(name));
        put(place, about(data.facts), submitForm(data, {}, stateOf(data), scope, null));
      } else if (error?.status === 404) {
        const back = h('a', { class: 'button', href: link(['workflows']) }, t('workflows'));
        put(place, emptyPanel('workflows', t('workflow.gone'), t('workflow.gone.text'), back));
      } else put(place, error ? failedPanel(error, source.refresh) : waitingPanel(6));
    },
    // A new connection must not draw a form anew under somebody's hands.
    false,
  );
  source.refresh();
}

/** What is typed is kept for each version. */
function stateOf({ nodes, facts }) {
  const fresh = () => ({
    name: `${facts.name}@${facts.version}`,
    fields: Object.fromEntries(nodes[0].inputs.map((input) => [`\n${input.name}`, input.isRandom ? { isRandom: true } : {}])),
    params: [],
    options: {},
    runs: [],
  });
  return draft(`workflow ${facts.name}@${facts.version}`, fresh);
}

const about = ({ description, createdAt, version }) =>
  h(
    'p',
    { class: 'lead' },
    description && `${description} `,
    h('span', { class: 'faint' }, `${t('workflow.version', { n: version })} · ${clock(createdAt)}`),
  );

function versionsOf({ name, version, latestVersion, versions }) {
  const id = freshId('version');
  const choice = h(
    'select',
    { id, data: { test: 'version' } },
    [...versions].sort((a, b) => b - a).map((one) => h('option', { value: one }, t('workflow.version', { n: one }))),
  );
  choice.value = version;
  choice.addEventListener('change', () => {
    const isNewest = Number(choice.value) === latestVersion;
    go(link(['workflows', name], { version: isNewest ? '' : choice.value }));
  });
  return [h('label', { class: 'hidden', for: id }, t('workflow.version.choose')), choice];
}

const tasksOf = (name) =>
  h('a', { class: 'button', href: link(['tasks'], { workflow: name }) }, icon('tasks', 18), t('workflow.tasks'));

function remove(name) {
  const act = async () => {
    if (!(await confirm(t('workflow.delete.ask', { name }), t('workflow.delete.text'), t('workflow.delete')))) return;
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
