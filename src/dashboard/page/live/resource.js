// Server data shown by a view: loading, loaded, failed, refreshed. The latest request wins.

import { ApiError } from '../base/api.js';
import { isLoggedIn } from '../base/session.js';
import { subscribe } from './pub-sub.js';

const RETRY_MS = 5_000;

/**
 * `read(signal)` resolves to the data. `show(state)` is called with `{data, error, isLoading, isOld, requestedAt}` on
 * each change. `data` stays while a refresh is under way or fails. Refreshes after each reconnect, unless `isLive` is
 * false.
 */
export function resource(scope, read, show, isLive = true) {
  const state = { data: null, error: null, isLoading: true, isOld: false, requestedAt: 0 };
  let controller = null;
  let retryTimer = 0;
  scope.add(() => {
    clearTimeout(retryTimer);
    controller?.abort();
  });

  async function refresh() {
    // The login dialog covers the page. The connection after the login triggers a refresh.
    if (!isLoggedIn()) return;
    clearTimeout(retryTimer);
    controller?.abort();
    const mine = new AbortController();
    controller = mine;
    state.isLoading = true;
    const requestedAt = performance.now();
    if (state.data === null) show(state);
    try {
      const data = await read(mine.signal);
      if (mine !== controller || !scope.isOpen) return;
      Object.assign(state, { data, error: null, isLoading: false, isOld: false, requestedAt });
    } catch (error) {
      if (mine !== controller || !scope.isOpen) return;
      if (!(error instanceof ApiError)) throw error;
      // The old data belongs to another query.
      if (state.isOld) state.data = null;
      Object.assign(state, { error, isLoading: false, isOld: false });
      // No response, or a temporary failure.
      if (error.status === 0 || error.status >= 502) retryTimer = setTimeout(refresh, RETRY_MS);
    }
    show(state);
  }

  /** Loads the data of another query. The current data stays visible, marked as old, until the new data arrives. */
  function restart() {
    state.isOld = state.data !== null;
    show(state);
    refresh();
  }

  let refreshTimer = 0;
  let lastAt = 0;
  /** Schedules a refresh, at most once per `everyMs`. */
  function refreshSoon(everyMs = 1_000) {
    if (refreshTimer) return;
    const wait = Math.max(50, lastAt + everyMs - performance.now());
    refreshTimer = setTimeout(() => {
      refreshTimer = 0;
      lastAt = performance.now();
      if (scope.isOpen) refresh();
    }, wait);
  }
  scope.add(() => clearTimeout(refreshTimer));
  scope.add(subscribe('resync', () => (isLive || state.data === null) && refresh()));

  return { state, refresh, restart, refreshSoon };
}
