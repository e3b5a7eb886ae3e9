// Fleet config editor: checks the JSON while typing, shows a diff before saving, and detects concurrent changes by
// version.

import { call } from '../base/api.js';
import { freshId, h, setAttr, setChildren, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { JsonError, parseJson, position as positionOf, resolvePointer } from '../base/json.js';
import { link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { readInstances } from '../live/store.js';
import { diff } from '../base/line-diff.js';
import { errorText } from '../components/ui/error-text.js';
import { failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { toast } from '../components/ui/toast.js';
import { draft, dropDraft } from '../base/drafts.js';

export function fleetConfig(root, _route, scope) {
  const container = h('div');
  setChildren(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['instances']) }, t('instances'))),
    h('div', { class: 'head' }, h('h1', {}, t('config'))),
    h('p', { class: 'lead' }, t('config.text')),
    container,
  );
  const source = resource(
    scope,
    (signal) => call('GET', 'config', { signal }),
    ({ data, error }) => {
      if (data === null) setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(8));
      else setChildren(container, editor(data, source));
    },
    // Do not reload on reconnect: it would replace the text while the user edits it.
    false,
  );
  setChildren(container, loadingPanel(8));
  source.refresh();
}

/** Returns the config as text, without its version, which is sent as `If-Match`. */
function textOf({ version: _version, ...config }) {
  // Print port lists on one line.
  return JSON.stringify(config, null, 2).replace(
    /\[\s+([\d,\s]+?)\s+\]/g,
    (_whole, ports) => `[${ports.split(/,\s*/).join(', ')}]`,
  );
}

function editor(config, source) {
  const base = textOf(config);
  const edited = draft('config', () => ({ text: base, version: config.version, base }));
  // If nothing was typed yet, edit the newest version.
  if (edited.text === edited.base) Object.assign(edited, { text: base, version: config.version, base });
  const id = freshId('config');
  const area = h('textarea', {
    id,
    class: 'mono editor',
    rows: 22,
    value: edited.text,
    spellcheck: 'false',
    autocapitalize: 'none',
    'aria-describedby': `${id}-state`,
  });
  const state = h('p', { id: `${id}-state`, class: 'editor-state', role: 'status' });
  const problems = h('div', { role: 'alert' });
  const changes = h('div');
  const save = h('button', { type: 'button', class: 'primary', data: { test: 'save' }, onclick: saveConfig }, t('config.save'));
  const undo = h('button', { type: 'button', onclick: () => change(edited.base) }, t('config.undo'));

  function change(text) {
    area.value = text;
    area.dispatchEvent(new Event('input'));
  }
  area.addEventListener('input', () => {
    edited.text = area.value;
    setChildren(problems);
    check();
  });

  function check() {
    let isValid = true;
    try {
      parseJson(area.value);
      setText(
        state,
        edited.version === config.version
          ? t('config.version', { n: edited.version })
          : t('config.outdated', { mine: edited.version, now: config.version }),
      );
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      isValid = false;
      const { line, column } = positionOf(area.value, error.at);
      setText(state, t('document.invalidJson.text', { line, column, reason: t(`json.${error.code}`, error.values) }));
    }
    setAttr(state, 'data-bad', !isValid);
    setAttr(area, 'aria-invalid', isValid ? null : 'true');
    const lines = diff(edited.base, area.value);
    save.disabled = !isValid || lines.length === 0;
    undo.disabled = lines.length === 0;
    setChildren(
      changes,
      lines.length
        ? [
            h('h2', {}, t('config.changes')),
            h(
              'pre',
              { class: 'diff', tabindex: 0 },
              lines.map((line) =>
                h(
                  'span',
                  { data: { kind: line.kind } },
                  `${{ added: '+', removed: '−', same: ' ', gap: ' ' }[line.kind]} ${line.text}\n`,
                ),
              ),
            ),
          ]
        : h('p', { class: 'faint' }, t('config.unchanged')),
    );
  }

  async function saveConfig() {
    save.disabled = true;
    setChildren(problems);
    try {
      const body = JSON.parse(area.value);
      delete body.version;
      await call('PUT', 'config', { body, headers: { 'If-Match': `"${edited.version}"` } });
      dropDraft('config');
      toast('good', t('config.saved'));
      readInstances();
      source.state.data = null;
      source.refresh();
    } catch (error) {
      if (!error.type) throw error;
      showError(error);
      save.disabled = false;
    }
  }

  function showError(error) {
    if (error.type === 'version_conflict') {
      const merge = async () => {
        const now = await call('GET', 'config');
        // Keep the typed text, and diff it against the version that another user saved.
        Object.assign(edited, { version: now.version, base: textOf(now) });
        source.refresh();
      };
      setChildren(
        problems,
        h(
          'div',
          { class: 'note-panel', data: { level: 'warn' } },
          icon('alert'),
          h(
            'div',
            {},
            h('strong', {}, t('config.conflict')),
            h('p', {}, t('config.conflict.text')),
            h('button', { type: 'button', onclick: merge }, t('config.conflict.compare')),
          ),
        ),
      );
      return;
    }
    const root = parseJson(area.value);
    setChildren(
      problems,
      h(
        'div',
        { class: 'note-panel', data: { level: 'bad', test: 'problems' } },
        icon('alert'),
        h(
          'div',
          {},
          h('strong', {}, errorText(error)),
          h(
            'ul',
            { class: 'problems' },
            (error.details ?? []).map((problem) => {
              const target = resolvePointer(root, problem.pointer ?? '');
              return h(
                'li',
                {},
                h(
                  'button',
                  { type: 'button', class: 'link', onclick: () => select(target) },
                  t('config.line', { n: positionOf(area.value, target.start).line }),
                ),
                ' ',
                h('code', {}, problem.pointer || '/'),
                ' ',
                problem.message,
              );
            }),
          ),
        ),
      ),
    );
  }
  function select({ start, end }) {
    area.focus();
    area.setSelectionRange(start, end);
    area.scrollTop = (positionOf(area.value, start).line - 4) * Number.parseFloat(getComputedStyle(area).lineHeight);
  }

  check();
  return h(
    'div',
    { class: 'columns' },
    h(
      'div',
      { class: 'stack' },
      h(
        'div',
        { class: 'panel stack' },
        h('label', { class: 'hidden', for: id }, t('config')),
        area,
        state,
        problems,
        h('div', { class: 'row end' }, undo, save),
      ),
    ),
    h('div', { class: 'stack' }, h('section', { class: 'panel' }, changes), addServerForm(area, change)),
  );
}

/** A form that adds a server to the text, so that users need not know the format. */
function addServerForm(area, change) {
  const make = (name, placeholder) =>
    h('input', { id: freshId(name), name, placeholder, spellcheck: 'false', autocapitalize: 'none' });
  const [name, ip, ports] = [make('name', t('server.name.example')), make('ip', '192.168.1.20'), make('ports', '8188, 8189')];
  const error = h('p', { class: 'form-error', role: 'alert' });
  function add(event) {
    event.preventDefault();
    let config;
    try {
      config = JSON.parse(area.value);
    } catch {
      setText(error, t('server.invalidJson'));
      return;
    }
    const list = ports.value
      .split(/[\s,，]+/)
      .filter(Boolean)
      .map(Number);
    if (!ip.value.trim() || list.length === 0 || list.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535)) {
      setText(error, t('server.invalid'));
      return;
    }
    setText(error, '');
    config.servers = Array.isArray(config.servers) ? config.servers : [];
    let at = config.servers.length + 1;
    while (config.servers.some((server) => server.id === `server-${at}`)) at += 1;
    config.servers.push({
      id: `server-${at}`,
      name: name.value.trim() || `server-${at}`,
      ip: ip.value.trim(),
      ports: list,
      enabled: true,
    });
    change(textOf(config));
    for (const input of [name, ip, ports]) input.value = '';
    toast('good', t('server.added'));
  }
  const field = (input, label) => h('div', { class: 'field' }, h('label', { for: input.id }, label), input);
  return h(
    'form',
    { class: 'panel stack', onsubmit: add, novalidate: true },
    h('h2', {}, t('server.add')),
    field(name, t('server.name')),
    field(ip, t('server.ip')),
    field(ports, t('server.ports')),
    error,
    h('div', { class: 'row end' }, h('button', { type: 'submit' }, t('server.submit'))),
  );
}
