// Who is logged in. The token lives in this tab only, or in this browser when the person asked to stay logged in.

import { recall, remember } from './browser-storage.js';

const listeners = new Set();
let session = load();
let timer = 0;

function load() {
  for (const storage of ['sessionStorage', 'localStorage']) {
    try {
      const kept = JSON.parse(recall('session', storage));
      if (kept?.token && Date.parse(kept.expiresAt) > Date.now()) return { ...kept, storage };
    } catch {
      /* not ours, or of an older version */
    }
  }
  return null;
}

export const token = () => session?.token ?? null;
export const user = () => session?.user ?? null;
/** `{token, expiresAt, user, storage}`, or `null`. */
export const current = () => session;
export const isLoggedIn = () => session !== null;

/** `change` is `in`, `out` or `expired`. */
export function onSession(listener) {
  listeners.add(listener);
}

/** `answer` is the data of POST /api/auth/login. */
export function begin(answer, staysLoggedIn) {
  session = { ...answer, storage: staysLoggedIn ? 'localStorage' : 'sessionStorage' };
  forget();
  const { token, expiresAt, user } = answer;
  remember('session', JSON.stringify({ token, expiresAt, user }), session.storage);
  arm();
  announce('in');
}

export function logOut() {
  session = null;
  forget();
  announce('out');
}

/** The server does not take this token any more. */
export function expire(refused = session?.token) {
  if (!session || session.token !== refused) return;
  session = null;
  forget();
  announce('expired');
}

function forget() {
  clearTimeout(timer);
  remember('session', null, 'sessionStorage');
  remember('session', null, 'localStorage');
}

/** A timer longer than 24.8 days would fire at once. */
function arm() {
  clearTimeout(timer);
  if (!session) return;
  const left = Date.parse(session.expiresAt) - Date.now();
  timer = setTimeout(() => (left > 2 ** 31 - 1 ? arm() : expire()), Math.min(Math.max(left, 0), 2 ** 31 - 1));
}

function announce(change) {
  for (const listener of listeners) listener(change);
}

arm();
// Another tab logged out: so is this one.
addEventListener('storage', (event) => {
  if (event.key === 'shuzhiren.session' && event.newValue === null && session?.storage === 'localStorage') {
    session = null;
    announce('out');
  }
});
