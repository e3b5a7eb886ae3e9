// Frame around every view: navigation, account, connection state.

import { h, setAttr, setChildren, setText, scope } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { duration, number } from '../base/format.js';
import { link } from '../base/router.js';
import { logOut, user } from '../base/session.js';
import { connection, retryNow } from '../live/socket.js';
import { known } from '../live/store.js';
import { subscribe } from '../live/pub-sub.js';
import { emptyPanel } from '../components/ui/panels.js';
import { icon, logo } from '../components/ui/icons.js';
import { languageToggle, themeToggle } from '../components/ui/toggles.js';
import { toastContainer } from '../components/ui/toast.js';
import { shortcuts } from '../components/ui/shortcuts.js';
import { findProblems, queueOutage } from '../components/fleet/problems.js';
import { account } from './account.js';
import { files } from './files.js';
import { fleetConfig } from './fleet-config.js';
import { instance } from './instance.js';
import { instances } from './instances.js';
import { overview } from './overview.js';
import { submit } from './submit.js';
import { task } from './task.js';
import { tasks } from './tasks.js';
import { publishedWorkflow } from './published-workflow.js';
import { workflows } from './workflows.js';

/** Views in the order of the navigation; `key` is pressed after `g`. */
const VIEWS = [
  { name: 'overview', path: [], key: 'o' },
  { name: 'tasks', path: ['tasks'], key: 't' },
  { name: 'submit', path: ['submit'], key: 's' },
  { name: 'workflows', path: ['workflows'], key: 'w' },
  { name: 'instances', path: ['instances'], key: 'i' },
  { name: 'files', path: ['files'], key: 'f' },
];

/**
 * Returns `[navigation name, view]`. A view is called with `(root, {path, query}, scope)` and fills `root`. It may
 * return `{update({path, query})}` to handle changes of the query in place.
 */
function viewOf({ path }) {
  if (path.length === 0) return ['overview', overview];
  if (path[0] === 'tasks' && path.length === 1) return ['tasks', tasks];
  if (path[0] === 'tasks' && path.length === 2) return ['tasks', task];
  if (path[0] === 'submit' && path.length === 1) return ['submit', submit];
  if (path[0] === 'workflows' && path.length === 1) return ['workflows', workflows];
  if (path[0] === 'workflows' && path.length === 2) return ['workflows', publishedWorkflow];
  if (path[0] === 'instances' && path.length === 1) return ['instances', instances];
  if (path[0] === 'instances' && path.length === 2) return ['instances', instance];
  if (path[0] === 'config' && path.length === 1) return ['instances', fleetConfig];
  if (path[0] === 'files' && path.length === 1) return ['files', files];
  if (path[0] === 'account' && path.length === 1) return ['account', account];
  return [null, notFound];
}

/** Draws the frame into `root`: `{show(route), close()}`. */
export function shell(root) {
  const outer = scope();
  let inner = null;
  let shown = null;
  const main = h('main', { id: 'main', tabindex: -1 });
  const links = new Map(VIEWS.map((view) => [view.name, navLink(view)]));
  const accountNav = accountLinks();
  const banner = connectionBanner(outer);
  const skip = h('a', { class: 'skip', href: '#main', onclick: (event) => (event.preventDefault(), main.focus()) }, t('skip'));
  const nav = h(
    'nav',
    { 'aria-label': t('nav') },
    [...links.values()].map((item) => item.element),
  );
  setChildren(
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
        h('div', { class: 'side-end' }, connectionState(outer), accountNav.element, languageToggle(), themeToggle()),
      ),
      h('div', { class: 'content' }, banner, main),
    ),
    toastContainer(),
  );

  const refreshCounts = () => {
    const counts = known.overview;
    const open = counts ? counts.pendingTasks + counts.runningTasks : 0;
    links.get('tasks').note(open ? number(open) : '', t('nav.open', { n: open }));
    const problems = findProblems(known.overview, known.instances).filter((item) => item.about === 'instance').length;
    links.get('instances').note(problems ? number(problems) : '', t('nav.problems', { n: problems }), 'bad');
  };
  outer.add(subscribe('overview', refreshCounts));
  outer.add(subscribe('instances', refreshCounts));
  refreshCounts();
  shortcuts(outer, VIEWS);

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
      for (const [key, item] of links) setAttr(item.element, 'aria-current', key === name ? 'page' : null);
      setAttr(accountNav.link, 'aria-current', name === 'account' ? 'page' : null);
      const isFirst = shown === null;
      setChildren(main);
      try {
        shown = { view, path: route.path, update: view(main, route, inner)?.update };
      } catch (error) {
        // Show an error instead of a blank page. The other views still work; the console has the details.
        shown = { view, path: route.path };
        setChildren(main, h('h1', {}, t('state.broken')), h('p', {}, t('state.broken.text')));
        reportError(error);
      }
      const heading = main.querySelector('h1');
      document.title = `${heading?.textContent || t('overview')} · shuzhiren`;
      if (!isFirst) {
        scrollTo(0, 0);
        // Focus the heading, so that screen readers announce the new view.
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
    note(text, description, kind = 'plain') {
      setText(note, text);
      setAttr(note, 'data-kind', kind);
      setAttr(note, 'aria-hidden', 'true');
      setText(hidden, text ? `, ${description}` : '');
    },
  };
}

/** Link to the account and the logout button. */
function accountLinks() {
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

/** Connection state in one word. */
function connectionState(scope) {
  const label = h('span', {});
  const element = h('p', { class: 'connection-state' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), label);
  const draw = () => {
    // A socket may be live while the queue behind it is not.
    const state = connection.state === 'live' && queueOutage(known.health) ? 'stale' : connection.state;
    setAttr(element, 'data-state', state);
    setText(label, t(`connection.${state}`));
  };
  scope.add(subscribe('connection', draw));
  draw();
  return element;
}

/** A banner while the data may be stale. Interruptions of less than two seconds are not shown. */
function connectionBanner(scope) {
  const message = h('span', {});
  const element = h(
    'div',
    { class: 'banner', role: 'status' },
    icon('alert', 18),
    message,
    h('button', { type: 'button', class: 'quiet', onclick: retryNow }, t('connection.retry')),
  );
  element.hidden = true;
  const draw = () => {
    const lost = connection.lostAt ? Date.now() - connection.lostAt : 0;
    element.hidden = connection.state === 'live' || lost < 2_000;
    if (element.hidden) return;
    const left = Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000));
    const key = !navigator.onLine
      ? 'connection.banner.offline'
      : connection.state === 'waiting'
        ? 'connection.banner.waiting'
        : 'connection.banner.connecting';
    setText(message, t(key, { n: left, time: duration(lost) }));
  };
  scope.add(subscribe('connection', draw));
  scope.every(1_000, draw);
  return element;
}

function notFound(root) {
  const back = h('a', { class: 'button', href: link([]) }, t('overview'));
  setChildren(
    root,
    h('div', { class: 'head' }, h('h1', {}, t('notFound'))),
    emptyPanel('none', t('notFound.text'), location.hash, back),
  );
}
