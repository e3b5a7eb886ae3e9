// The login session. The token is stored for this tab, or for this browser if the user chose to stay logged in.

import { readStorage, writeStorage } from './browser-storage.js';

const listeners = new Set();
let session = load();
let timer = 0;

function load() {
  for (const storage of ['sessionStorage', 'localStorage']) {
    try {
      const stored = JSON.parse(readStorage('session', storage));
      if (stored?.token && Date.parse(stored.expiresAt) > Date.now()) return { ...stored, storage };
    } catch {
      /* invalid, or stored by an older version */
    }
  }
  return null;
}

export const token = () => session?.token ?? null;
export const user = () => session?.user ?? null;
/** Current session: `{token, expiresAt, user, storage}`, or `null`. */
export const current = () => session;
export const isLoggedIn = () => session !== null;

/** Registers `listener(change)`; `change` is `in`, `out` or `expired`. */
export function onSession(listener) {
  listeners.add(listener);
}

/** Starts a session from the data of `POST /api/auth/login`. */
export function startSession(login, staysLoggedIn) {
  session = { ...login, storage: staysLoggedIn ? 'localStorage' : 'sessionStorage' };
  clearStored();
  const { token, expiresAt, user } = login;
  writeStorage('session', JSON.stringify({ token, expiresAt, user }), session.storage);
  armExpiry();
  announce('in');
}

export function logOut() {
  session = null;
  clearStored();
  announce('out');
}

/** Ends the session because the server rejected `rejected`, unless a newer token is in use. */
export function expireSession(rejected = session?.token) {
  if (!session || session.token !== rejected) return;
  session = null;
  clearStored();
  announce('expired');
}

function clearStored() {
  clearTimeout(timer);
  writeStorage('session', null, 'sessionStorage');
  writeStorage('session', null, 'localStorage');
}

/** Arms the timer that expires the session. Timers longer than 24.8 days would fire at once, so it re-arms itself. */
function armExpiry() {
  clearTimeout(timer);
  if (!session) return;
  const left = Date.parse(session.expiresAt) - Date.now();
  timer = setTimeout(() => (left > 2 ** 31 - 1 ? armExpiry() : expireSession()), Math.min(Math.max(left, 0), 2 ** 31 - 1));
}

function announce(change) {
  for (const listener of listeners) listener(change);
}

armExpiry();
// Log out when another tab logs out.
addEventListener('storage', (event) => {
  if (event.key === 'shuzhiren.session' && event.newValue === null && session?.storage === 'localStorage') {
    session = null;
    announce('out');
  }
});
