// Login: as a page, and as a dialog over the page when the session has expired.

import { call } from '../base/api.js';
import { freshId, h, setChildren, setText } from '../base/dom.js';
import { t } from '../base/i18n.js';
import { startSession, logOut, user } from '../base/session.js';
import { readStorage, writeStorage } from '../base/browser-storage.js';
import { errorText } from '../components/ui/error-text.js';
import { logo } from '../components/ui/icons.js';
import { languageToggle, themeToggle } from '../components/ui/toggles.js';

/** The login page. */
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
      form(readStorage('username') ?? ''),
      isLocalhost() && h('p', { class: 'hint' }, t('login.hint')),
    ),
    h('div', { class: 'row login-switches' }, languageToggle(), themeToggle()),
  );
}

/** Shows the login dialog: `{close()}`. The view below stays as it is. */
export function loginDialog() {
  const name = user()?.username ?? readStorage('username') ?? '';
  const element = h('dialog', { 'aria-labelledby': 'over-title', class: 'login-over' });
  setChildren(
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
      t('logout'),
    ),
  );
  // Escape must not close it: the page cannot do anything without a session.
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

function isLocalhost() {
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
  const stayLoggedIn = h('input', { id: ids[2], type: 'checkbox' });
  const error = h('p', { id: ids[3], class: 'form-error', role: 'alert' });
  const submit = h('button', { type: 'submit', class: 'primary wide' }, t('login.submit'));
  async function logIn(event) {
    event.preventDefault();
    submit.disabled = true;
    setText(error, '');
    try {
      const login = await call('POST', 'auth/login', { body: { username: username.value, password: password.value } });
      writeStorage('username', username.value);
      startSession(login, stayLoggedIn.checked);
    } catch (failure) {
      setText(error, errorText(failure));
      password.select();
    } finally {
      submit.disabled = false;
    }
  }
  queueMicrotask(() => (name ? password : username).focus());
  return h(
    'form',
    { class: 'stack', onsubmit: logIn, 'aria-describedby': ids[3] },
    h('div', { class: 'field' }, h('label', { for: ids[0] }, t('login.username')), username),
    h('div', { class: 'field' }, h('label', { for: ids[1] }, t('login.password')), password),
    h('label', { class: 'check' }, stayLoggedIn, t('login.stay')),
    error,
    submit,
  );
}
