// Something read from the server that a view shows: loading, ready, failed, read again; the last reading wins.

import { ApiError } from '../base/api.js';
import { isLoggedIn } from '../base/session.js';
import { watch } from './topics.js';

const AGAIN_MS = 5_000;

/**
 * `read(signal)` returns the data. `show(state)` is called with `{data, error, isLoading, isOld, askedAt}` on each change; `data` of an
 * earlier reading stays while a newer one is on its way or fails. Read again after each connection, unless `isLive` is false.
 */
export function resource(scope, read, show, isLive = true) {
  const state = { data: null, error: null, isLoading: true, isOld: false, askedAt: 0 };
  let abort = null;
  let again = 0;
  scope.add(() => {
    clearTimeout(again);
    abort?.abort();
  });

  async function refresh() {
    // The login is over the page; what is read after it comes with the new connection.
    if (!isLoggedIn()) return;
    clearTimeout(again);
    abort?.abort();
    const mine = new AbortController();
    abort = mine;
    state.isLoading = true;
    const askedAt = performance.now();
    if (state.data === null) show(state);
    try {
      const data = await read(mine.signal);
      if (mine !== abort || !scope.isOpen) return;
      Object.assign(state, { data, error: null, isLoading: false, isOld: false, askedAt });
    } catch (error) {
      if (mine !== abort || !scope.isOpen) return;
      if (!(error instanceof ApiError)) throw error;
      // What was asked for before is no answer to this.
      if (state.isOld) state.data = null;
      Object.assign(state, { error, isLoading: false, isOld: false });
      // No answer, or "not now": it may be there in a moment.
      if (error.status === 0 || error.status >= 502) again = setTimeout(refresh, AGAIN_MS);
    }
    show(state);
  }

  /** Something else is wanted from now on: what is shown stays, as old, until the new is there. */
  function restart() {
    state.isOld = state.data !== null;
    show(state);
    refresh();
  }

  let planned = 0;
  let lastAt = 0;
  /** Reads again soon, however often it is called: at most once in `everyMs`. */
  function refreshSoon(everyMs = 1_000) {
    if (planned) return;
    const wait = Math.max(50, lastAt + everyMs - performance.now());
    planned = setTimeout(() => {
      planned = 0;
      lastAt = performance.now();
      if (scope.isOpen) refresh();
    }, wait);
  }
  scope.add(() => clearTimeout(planned));
  scope.add(watch('resync', () => (isLive || state.data === null) && refresh()));

  return { state, refresh, restart, refreshSoon };
}
