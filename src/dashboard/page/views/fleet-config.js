// The config of the fleet: its text, checked while it is typed, shown as a difference before it is saved, guarded by its version.

import { call } from '../base/api.js';
import { freshId, h, mark, put, say } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { JsonError, follow, parseJson, place as placeOf } from '../base/json.js';
import { link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { readInstances } from '../live/store.js';
import { diff } from '../base/line-diff.js';
import { failedPanel, sentence, waitingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { toast } from '../components/ui/toast.js';
import { draft, dropDraft } from '../base/drafts.js';

export function fleetConfig(root, _route, scope) {
  const place = h('div');
  put(
    root,
    h('p', { class: 'crumbs' }, h('a', { href: link(['instances']) }, t('instances'))),
    h('div', { class: 'head' }, h('h1', {}, t('config'))),
    h('p', { class: 'lead' }, t('config.text')),
    place,
  );
  const source = resource(
    scope,
    (signal) => call('GET', 'config', { signal }),
    ({ data, error }) => {
      if (data === null) put(place, error ? failedPanel(error, source.refresh) : waitingPanel(8));
      else put(place, editor(data, source));
    },
    // A new connection must not move the text under somebody's hands.
    false,
  );
  put(place, waitingPanel(8));
  source.refresh();
}

/** The config as text, without its version: that is ours to mind. */
function textOf({ version: _version, ...config }) {
  // A list of ports reads better on one line.
  return JSON.stringify(config, null, 2).replace(
    /\[\s+([\d,\s]+?)\s+\]/g,
    (_whole, ports) => `[${ports.split(/,\s*/).join(', ')}]`,
  );
}

function editor(config, source) {
  const base = textOf(config);
  const kept = draft('config', () => ({ text: base, version: config.version, base }));
  // Nothing was typed yet: what is newer on the server is what is edited.
  if (kept.text === kept.base) Object.assign(kept, { text: base, version: config.version, base });
  const id = freshId('config');
  const area = h('textarea', {
    id,
    class: 'mono editor',
    rows: 22,
    value: kept.text,
    spellcheck: 'false',
    autocapitalize: 'none',
    'aria-describedby': `${id}-state`,
  });
  const state = h('p', { id: `${id}-state`, class: 'editor-state', role: 'status' });
  const problems = h('div', { role: 'alert' });
  const changes = h('div');
  const save = h('button', { type: 'button', class: 'primary', data: { test: 'save' }, onclick: send }, t('config.save'));
  const undo = h('button', { type: 'button', onclick: () => change(kept.base) }, t('config.undo'));

  function change(text) {
    area.value = text;
    area.dispatchEvent(new Event('input'));
  }
  area.addEventListener('input', () => {
    kept.text = area.value;
    put(problems);
    check();
  });

  function check() {
    let isValid = true;
    try {
      parseJson(area.value);
      say(
        state,
        kept.version === config.version
          ? t('config.version', { n: kept.version })
          : t('config.older', { mine: kept.version, now: config.version }),
      );
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      isValid = false;
      const { line, column } = placeOf(area.value, error.at);
      say(state, t('form.broken.text', { line, column, why: error.message }));
    }
    mark(state, 'data-bad', !isValid);
    mark(area, 'aria-invalid', isValid ? null : 'true');
    const lines = diff(kept.base, area.value);
    save.disabled = !isValid || lines.length === 0;
    undo.disabled = lines.length === 0;
    put(
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
        : h('p', { class: 'faint' }, t('config.same')),
    );
  }

  async function send() {
    save.disabled = true;
    put(problems);
    try {
      const body = JSON.parse(area.value);
      delete body.version;
      await call('PUT', 'config', { body, headers: { 'If-Match': `"${kept.version}"` } });
      dropDraft('config');
      toast('good', t('config.saved'));
      readInstances();
      source.state.data = null;
      source.refresh();
    } catch (error) {
      if (!error.type) throw error;
      tell(error);
      save.disabled = false;
    }
  }

  function tell(error) {
    if (error.type === 'version_conflict') {
      const merge = async () => {
        const now = await call('GET', 'config');
        // What was typed stays; the difference is now against what somebody else saved.
        Object.assign(kept, { version: now.version, base: textOf(now) });
        source.refresh();
      };
      put(
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
            h('button', { type: 'button', onclick: merge }, t('config.conflict.do')),
          ),
        ),
      );
      return;
    }
    const root = parseJson(area.value);
    put(
      problems,
      h(
        'div',
        { class: 'note-panel', data: { level: 'bad', test: 'problems' } },
        icon('alert'),
        h(
          'div',
          {},
          h('strong', {}, sentence(error)),
          h(
            'ul',
            { class: 'problems' },
            (error.details ?? []).map((problem) => {
              const spot = follow(root, problem.pointer ?? '');
              return h(
                'li',
                {},
                h(
                  'button',
                  { type: 'button', class: 'link', onclick: () => select(spot) },
                  t('config.line', { n: placeOf(area.value, spot.start).line }),
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
    area.scrollTop = (placeOf(area.value, start).line - 4) * Number.parseFloat(getComputedStyle(area).lineHeight);
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
    h('div', { class: 'stack' }, h('section', { class: 'panel' }, changes), addServer(area, change)),
  );
}

/** Writes a server into the text: nobody has to know the format for that. */
function addServer(area, change) {
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
      say(error, t('server.broken'));
      return;
    }
    const list = ports.value
      .split(/[\s,，]+/)
      .filter(Boolean)
      .map(Number);
    if (!ip.value.trim() || list.length === 0 || list.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535)) {
      say(error, t('server.bad'));
      return;
    }
    say(error, '');
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
    h('div', { class: 'row end' }, h('button', { type: 'submit' }, t('server.do'))),
  );
}
