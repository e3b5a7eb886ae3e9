// Account view: the current login, and how access is controlled.

import { h, setChildren } from '../base/dom.js';
import { timeOfDay, fullTime } from '../base/format.js';
import { has, t } from '../base/i18n.js';
import { current, logOut } from '../base/session.js';
import { icon } from '../components/ui/icons.js';

export function account(root) {
  const { user, expiresAt, storage } = current();
  const storageKey = storage === 'localStorage' ? 'account.storage.browser' : 'account.storage.tab';
  const role = has(`role.${user.role}`) ? t(`role.${user.role}`) : user.role;
  const expiry = h('time', { datetime: expiresAt, title: fullTime(expiresAt) }, timeOfDay(expiresAt));
  const logOutButton = h('button', { type: 'button', onclick: logOut }, icon('out', 18), t('logout'));
  setChildren(
    root,
    h('div', { class: 'head' }, h('h1', {}, t('account'))),
    h(
      'div',
      { class: 'columns even' },
      panel(
        'account.login',
        details([
          ['login.username', user.username],
          ['account.role', role],
          ['account.expires', expiry],
          ['account.storage', t(storageKey)],
        ]),
        h('div', { class: 'row' }, logOutButton),
      ),
      panel(
        'account.access',
        details([
          ['account.users', t('account.users.text')],
          ['account.keys', t('account.keys.text')],
          ['account.audit', t('account.audit.text')],
        ]),
        h('div', { class: 'row' }, h('a', { class: 'button', href: 'docs' }, icon('text', 18), t('account.docs'))),
      ),
    ),
  );
}

const panel = (title, ...content) => h('section', { class: 'panel stack' }, h('h2', {}, t(title)), content);

const details = (rows) =>
  h(
    'dl',
    { class: 'facts' },
    rows.map(([name, value]) => h('div', {}, h('dt', {}, t(name)), h('dd', {}, value))),
  );
