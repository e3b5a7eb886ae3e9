// The login: as a page of its own, and over the page when a session has run out.

import { call } from '../base/api.js';
import { freshId, h, put, say } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { begin, logOut, user } from '../base/session.js';
import { recall, remember } from '../base/browser-storage.js';
import { sentence } from '../components/ui/panels.js';
import { logo } from '../components/ui/icons.js';
import { languageSwitch, themeSwitch } from '../components/ui/toggles.js';

/** The whole page. */
export function loginPage() {
  document.title = `${t('login.title')} · shuzhiren`;
  return h(
    'main',
    { class: 'login' },
    h(
      'div',
      { class: 'login-card' },
      h(
        'div',
        { class: 'brand' },
        logo(),
        h('div', {}, h('strong', {}, 'shuzhiren'), h('span', { class: 'faint' }, t('brand.line'))),
      ),
      h('h1', {}, t('login.title')),
      form(recall('username') ?? ''),
      isThisMachine() && h('p', { class: 'hint' }, t('login.hint')),
    ),
    h('div', { class: 'row login-switches' }, languageSwitch(), themeSwitch()),
  );
}

/** Over the page: `{close()}`. What is beneath stays as it is. */
export function loginOver() {
  const name = user()?.username ?? recall('username') ?? '';
  const element = h('dialog', { 'aria-labelledby': 'over-title', class: 'login-over' });
  put(
    element,
    h('h2', { id: 'over-title' }, t('login.expired')),
    h('p', {}, t('login.expired.text')),
    form(name),
    h(
      'button',
      {
        type: 'button',
        class: 'quiet',
        onclick: () => {
          element.close();
          logOut();
        },
      },
      t('login.leave'),
    ),
  );
  // Escape would leave a page behind that can do nothing.
  element.addEventListener('cancel', (event) => event.preventDefault());
  document.body.append(element);
  element.showModal();
  return {
    close() {
      element.close();
      element.remove();
    },
  };
}

function isThisMachine() {
  return ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
}

function form(name) {
  const ids = [freshId('name'), freshId('password'), freshId('stay'), freshId('error')];
  const username = h('input', {
    id: ids[0],
    name: 'username',
    autocomplete: 'username',
    required: true,
    value: name,
    autocapitalize: 'none',
    spellcheck: 'false',
  });
  const password = h('input', {
    id: ids[1],
    name: 'password',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
  });
  const stays = h('input', { id: ids[2], type: 'checkbox' });
  const error = h('p', { id: ids[3], class: 'form-error', role: 'alert' });
  const submit = h('button', { type: 'submit', class: 'primary wide' }, t('login.do'));
  async function enter(event) {
    event.preventDefault();
    submit.disabled = true;
    say(error, '');
    try {
      const answer = await call('POST', 'auth/login', { body: { username: username.value, password: password.value } });
      remember('username', username.value);
      begin(answer, stays.checked);
    } catch (failure) {
      say(error, sentence(failure));
      password.select();
    } finally {
      submit.disabled = false;
    }
  }
  queueMicrotask(() => (name ? password : username).focus());
  return h(
    'form',
    { class: 'stack', onsubmit: enter, 'aria-describedby': ids[3] },
    h('div', { class: 'field' }, h('label', { for: ids[0] }, t('login.username')), username),
    h('div', { class: 'field' }, h('label', { for: ids[1] }, t('login.password')), password),
    h('label', { class: 'check' }, stays, t('login.stay')),
    error,
    submit,
  );
}
