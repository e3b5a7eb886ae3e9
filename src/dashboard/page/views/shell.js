// The frame around every view: navigation, who is logged in, whether what is shown is live.

import { h, mark, put, say, scope } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { duration, number } from '../base/format.js';
import { link } from '../base/router.js';
import { logOut, user } from '../base/session.js';
import { line, retryNow } from '../live/socket.js';
import { known } from '../live/store.js';
import { watch } from '../live/topics.js';
import { emptyPanel } from '../components/ui/panels.js';
import { icon, logo } from '../components/ui/icons.js';
import { languageSwitch, themeSwitch } from '../components/ui/toggles.js';
import { toastShelf } from '../components/ui/toast.js';
import { shortcuts } from '../components/ui/shortcuts.js';
import { troubles } from '../components/fleet/problems.js';
import { account } from './account.js';
import { files } from './files.js';
import { fleetConfig } from './fleet-config.js';
import { instance } from './instance.js';
import { instances } from './instances.js';
import { overview } from './overview.js';
import { submit } from './submit.js';
import { task } from './task.js';
import { tasks } from './tasks.js';
import { namedWorkflow } from './published-workflow.js';
import { workflows } from './workflows.js';

/** What can be gone to, in the order of the navigation; the one-letter keys are for `g` and then the key. */
const PLACES = [
  { name: 'overview', path: [], key: 'o' },
  { name: 'tasks', path: ['tasks'], key: 't' },
  { name: 'submit', path: ['submit'], key: 's' },
  { name: 'workflows', path: ['workflows'], key: 'w' },
  { name: 'instances', path: ['instances'], key: 'i' },
  { name: 'files', path: ['files'], key: 'f' },
];

/** A view takes `(root, {path, query}, scope)` and fills `root`; it returns what `update({path, query})` may change in place. */
function viewOf({ path }) {
  if (path.length === 0) return ['overview', overview];
  if (path[0] === 'tasks' && path.length === 1) return ['tasks', tasks];
  if (path[0] === 'tasks' && path.length === 2) return ['tasks', task];
  if (path[0] === 'submit' && path.length === 1) return ['submit', submit];
  if (path[0] === 'workflows' && path.length === 1) return ['workflows', workflows];
  if (path[0] === 'workflows' && path.length === 2) return ['workflows', namedWorkflow];
  if (path[0] === 'instances' && path.length === 1) return ['instances', instances];
  if (path[0] === 'instances' && path.length === 2) return ['instances', instance];
  if (path[0] === 'config' && path.length === 1) return ['instances', fleetConfig];
  if (path[0] === 'files' && path.length === 1) return ['files', files];
  if (path[0] === 'account' && path.length === 1) return ['account', account];
  return [null, nowhere];
}

/** Builds the frame into `root`: `{show(route), close()}`. */
export function shell(root) {
  const outer = scope();
  let inner = null;
  let shown = null;
  const main = h('main', { id: 'main', tabindex: -1 });
  const links = new Map(PLACES.map((place) => [place.name, navLink(place)]));
  const me = whoIsHere();
  const banner = lineBanner(outer);
  const skip = h('a', { class: 'skip', href: '#main', onclick: (event) => (event.preventDefault(), main.focus()) }, t('skip'));
  const nav = h(
    'nav',
    { 'aria-label': t('nav') },
    [...links.values()].map((item) => item.element),
  );
  put(
    root,
    skip,
    h(
      'div',
      { class: 'shell' },
      h(
        'header',
        { class: 'side' },
        h(
          'a',
          { class: 'brand', href: link([]) },
          logo(),
          h('div', {}, h('strong', {}, 'shuzhiren'), h('span', { class: 'faint' }, t('brand.line'))),
        ),
        nav,
        h('div', { class: 'side-end' }, lineState(outer), me.element, languageSwitch(), themeSwitch()),
      ),
      h('div', { class: 'content' }, banner, main),
    ),
    toastShelf(),
  );

  const refreshCounts = () => {
    const counts = known.overview;
    const open = counts ? counts.pendingTasks + counts.runningTasks : 0;
    links.get('tasks').note(open ? number(open) : '', t('nav.open', { n: open }));
    const wrong = troubles(known.overview, known.instances).filter((item) => item.about === 'instance').length;
    links.get('instances').note(wrong ? number(wrong) : '', t('nav.wrong', { n: wrong }), 'bad');
  };
  outer.add(watch('overview', refreshCounts));
  outer.add(watch('instances', refreshCounts));
  refreshCounts();
  shortcuts(outer, PLACES);

  return {
    show(route) {
      const [name, view] = viewOf(route);
      const same = shown && shown.view === view && shown.path.join('/') === route.path.join('/');
      if (same && shown.update) {
        shown.update(route);
        return;
      }
      inner?.close();
      inner = scope();
      for (const [key, item] of links) mark(item.element, 'aria-current', key === name ? 'page' : null);
      mark(me.link, 'aria-current', name === 'account' ? 'page' : null);
      const isFirst = shown === null;
      put(main);
      try {
        shown = { view, path: route.path, update: view(main, route, inner)?.update };
      } catch (error) {
        // Never blank: the rest of the page still works, and the console has the fault.
        shown = { view, path: route.path };
        put(main, h('h1', {}, t('state.broken')), h('p', {}, t('state.broken.text')));
        reportError(error);
      }
      const heading = main.querySelector('h1');
      document.title = `${heading?.textContent || t('overview')} · shuzhiren`;
      if (!isFirst) {
        scrollTo(0, 0);
        // A screen reader hears where it is; nothing moves for the eye.
        if (heading) {
          heading.tabIndex = -1;
          heading.focus({ preventScroll: true });
        }
      }
    },
    close() {
      inner?.close();
      outer.close();
    },
  };
}

function navLink({ name, path }) {
  const note = h('span', { class: 'note' });
  const hidden = h('span', { class: 'hidden' });
  const element = h(
    'a',
    { href: link(path), data: { test: `nav-${name}` } },
    icon(name),
    h('span', { class: 'nav-word' }, t(name)),
    note,
    hidden,
  );
  return {
    element,
    note(text, words, kind = 'plain') {
      say(note, text);
      mark(note, 'data-kind', kind);
      mark(note, 'aria-hidden', 'true');
      say(hidden, text ? `, ${words}` : '');
    },
  };
}

/** Who is logged in, and the way out. */
function whoIsHere() {
  const name = user()?.username ?? '';
  const toAccount = h(
    'a',
    { class: 'button quiet account', href: link(['account']), 'aria-label': `${t('account')}, ${name}`, title: t('account') },
    icon('user', 18),
    h('span', { class: 'account-name' }, name),
  );
  const out = h(
    'button',
    {
      type: 'button',
      class: 'quiet square',
      'aria-label': `${t('logout')}, ${name}`,
      title: t('logout'),
      data: { test: 'logout' },
      onclick: logOut,
    },
    icon('out', 18),
  );
  return { link: toAccount, element: h('div', { class: 'row' }, toAccount, out) };
}

/** One word: live or not. */
function lineState(scope) {
  const word = h('span', {});
  const element = h('p', { class: 'line-state' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word);
  const draw = () => {
    mark(element, 'data-state', line.state);
    say(word, t(`line.${line.state}`));
  };
  scope.add(watch('line', draw));
  draw();
  return element;
}

/** A line over the view when what it shows may be old; a short break says nothing. */
function lineBanner(scope) {
  const words = h('span', {});
  const element = h(
    'div',
    { class: 'banner', role: 'status' },
    icon('alert', 18),
    words,
    h('button', { type: 'button', class: 'quiet', onclick: retryNow }, t('line.retry')),
  );
  element.hidden = true;
  const draw = () => {
    const lost = line.lostAt ? Date.now() - line.lostAt : 0;
    element.hidden = line.state === 'live' || lost < 2_000;
    if (element.hidden) return;
    const left = Math.max(0, Math.ceil((line.retryAt - Date.now()) / 1000));
    const key = !navigator.onLine
      ? 'line.banner.offline'
      : line.state === 'waiting'
        ? 'line.banner.waiting'
        : 'line.banner.connecting';
    say(words, t(key, { n: left, time: duration(lost) }));
  };
  scope.add(watch('line', draw));
  scope.every(1_000, draw);
  return element;
}

function nowhere(root) {
  const back = h('a', { class: 'button', href: link([]) }, t('overview'));
  put(root, h('div', { class: 'head' }, h('h1', {}, t('nowhere'))), emptyPanel('none', t('nowhere.text'), location.hash, back));
}
