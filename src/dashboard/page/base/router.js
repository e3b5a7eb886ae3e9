// The address after `#`: `#/tasks/<id>?status=failed`. Everything that a person could want to share or reload is in it.

const listeners = new Set();

/** `{path: ['tasks', '<id>'], query: URLSearchParams}` */
export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').filter(Boolean).map(plain), query: new URLSearchParams(query ?? '') };
}

function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `link(['tasks', id], {status: 'failed'})`; empty values are left out. */
export function link(path, query = {}) {
  const parts = path.map((part) => encodeURIComponent(part).replaceAll('%3A', ':'));
  const words = Object.entries(query).filter(([, value]) => value !== '' && value !== null && value !== undefined);
  return `#/${parts.join('/')}${words.length ? `?${new URLSearchParams(words)}` : ''}`;
}

export function go(address) {
  if (location.hash === address) announce();
  else location.hash = address;
}

/** Changes the address without a new entry in the history and without a new view. */
export function rewrite(address) {
  history.replaceState(null, '', address);
}

export function onRoute(listener) {
  listeners.add(listener);
}

function announce() {
  for (const listener of listeners) listener();
}

addEventListener('hashchange', announce);
