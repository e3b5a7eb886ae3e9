// Hash routes: `#/tasks/<id>?status=failed`. The hash holds everything that a user may want to share or reload.

const listeners = new Set();

/** Current route: `{path: ['tasks', '<id>'], query: URLSearchParams}`. */
export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query ?? '') };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Builds a link: `link(['tasks', id], {status: 'failed'})`. Empty values are omitted. */
export function link(path, query = {}) {
  const parts = path.map((part) => encodeURIComponent(part).replaceAll('%3A', ':'));
  const params = Object.entries(query).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return `#/${parts.join('/')}${params.length ? `?${new URLSearchParams(params)}` : ''}`;
}

/** Returns the page number of a query, from 1. */
export const pageOf = (query) => Math.max(1, Math.floor(Number(query.get('page'))) || 1);

export function go(address) {
  if (location.hash === address) announce();
  else location.hash = address;
}

/** Replaces the hash without a new history entry and without reloading the view. */
export function replaceRoute(address) {
  history.replaceState(null, '', address);
}

export function onRoute(listener) {
  listeners.add(listener);
}

function announce() {
  for (const listener of listeners) listener();
}

addEventListener('hashchange', announce);
