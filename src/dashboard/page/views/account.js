// Who is logged in here, until when, and what decides who can come in.

import { h, put } from '../base/dom.js';
import { clock, wholeTime } from '../base/format.js';
import { has, t } from '../base/i18n.js';
import { current, logOut } from '../base/session.js';
import { icon } from '../components/ui/icons.js';

export function account(root) {
  const { user, expiresAt, storage } = current();
  const kept = storage === 'localStorage' ? 'account.kept.browser' : 'account.kept.tab';
  const role = has(`role.${user.role}`) ? t(`role.${user.role}`) : user.role;
  const until = h('time', { datetime: expiresAt, title: wholeTime(expiresAt) }, clock(expiresAt));
  const leave = h('button', { type: 'button', onclick: logOut }, icon('out', 18), t('logout'));
  put(
    root,
    h('div', { class: 'head' }, h('h1', {}, t('account'))),
    h(
      'div',
      { class: 'columns even' },
      panel(
        'account.login',
        facts([
          ['login.username', user.username],
          ['account.role', role],
          ['account.until', until],
          ['account.kept', t(kept)],
        ]),
        h('div', { class: 'row' }, leave),
      ),
      panel(
        'account.access',
        facts([
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

const facts = (rows) =>
  h(
    'dl',
    { class: 'facts' },
    rows.map(([name, value]) => h('div', {}, h('dt', {}, t(name)), h('dd', {}, value))),
  );
