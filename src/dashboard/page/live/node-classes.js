// Input schemas of node classes, as the instances declare them. Cached, and revalidated by ETag.

import { call } from '../base/api.js';

/** Classes per request. The server accepts 200, but the length of a URL is limited. */
const CLASSES_MAX = 80;
/** Longest wait for schemas before the form is shown without them. */
const WAIT_MS = 2_500;
const CACHED_MAX = 20;

/** Comma-separated class names → `{tag, data}`. */
const cache = new Map();

/**
 * Returns `{class: {title, inputs: [{name, type, required, min, max, options, …}]}}` for the known classes of `nodes`.
 * Returns an empty object if the server does not respond in time.
 */
export async function nodeSchemas(nodes) {
  const classes = [...new Set(nodes.map((node) => node.type))].filter((name) => name && !name.includes(',')).sort();
  const signal = AbortSignal.timeout(WAIT_MS);
  const queries = [];
  for (let at = 0; at < classes.length; at += CLASSES_MAX) queries.push(classes.slice(at, at + CLASSES_MAX).join(','));
  try {
    const responses = await Promise.all(queries.map((query) => fetchClasses(query, signal)));
    return Object.assign(Object.create(null), ...responses.map(({ classes }) => classes));
  } catch (error) {
    // The form works without schemas: input kinds are then guessed from their values.
    if (!error.type && error.name !== 'TimeoutError' && error.name !== 'AbortError') throw error;
    return {};
  }
}

async function fetchClasses(query, signal) {
  const cached = cache.get(query);
  const response = await call('GET', `nodes?${new URLSearchParams({ class: query })}`, { tag: cached?.tag ?? '', signal });
  if (response === null) return cached.data;
  cache.delete(query);
  cache.set(query, response);
  if (cache.size > CACHED_MAX) cache.delete(cache.keys().next().value);
  return response.data;
}
