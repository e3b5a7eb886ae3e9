// API client: adds the token, returns `data`, throws `ApiError`.

import { expireSession, token } from './session.js';

/** A failed request. `type` and `details` are the API's; `type` is `network` if there was no response. */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body?.message ?? 'no response');
    this.status = status;
    this.type = body?.error?.type ?? (status === 0 ? 'network' : 'unknown');
    this.details = body?.error?.details ?? [];
    this.data = body?.data ?? null;
    this.requestId = body?.error?.requestId ?? null;
    this.retryAfter = retryAfter;
  }
}

/** Time limit of a request. */
const TIMEOUT_MS = 30_000;

/**
 * Calls the API: `call('GET', 'tasks?limit=5')` resolves to `data`. `body` is an object, or a string that already holds
 * JSON. With `tag` (an ETag, or `''`), resolves to `{data, tag}`, or to `null` if the resource still has that tag
 * (304). URLs are relative, so that the page also works behind a proxy that serves it under a path.
 */
export const call = (method, path, options) => request(method, `api/${path}`, options);

/**
 * Reads `limit` entries of a list from `offset`. A page of very long entries ends early; the rest is read by its cursor,
 * or by `offset` if the list has none.
 */
export async function callPage(path, { limit, offset, ...filters }, options) {
  const read = (place) => call('GET', `${path}?${new URLSearchParams({ ...filters, ...place })}`, options);
  const page = await read({ limit, offset });
  for (let part = page; part.items.length > 0; ) {
    const left = Math.min(limit, page.total - offset) - page.items.length;
    if (left <= 0 || part.nextCursor === null) break;
    const place = part.nextCursor ? { cursor: part.nextCursor } : { offset: offset + page.items.length };
    part = await read({ limit: left, ...place });
    page.items.push(...part.items);
  }
  return page;
}

/** Like `call`, for the bytes of a stored file. The token replaces the signature of a signed link. */
export const callFile = (method, fileId, query, options) =>
  request(method, `upload/file/${encodeURIComponent(fileId)}${query}`, options);

async function request(method, url, { body, headers, signal, asText, asBlob, asHeaders, tag } = {}) {
  const usedToken = token();
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const init = {
    method,
    headers: { ...headers },
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    cache: 'no-store',
    credentials: 'omit',
  };
  if (usedToken) init.headers.Authorization = `Bearer ${usedToken}`;
  if (tag) init.headers['If-None-Match'] = tag;
  if (body !== undefined) {
    init.headers['Content-Type'] = 'application/json';
    init.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(url, init);
    if (response.ok && asHeaders) return response.headers;
    if (response.ok && asBlob) return await response.blob();
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, null, null);
  }
  if (tag && response.status === 304) return null;
  const data = parseResponse(response, text, usedToken, asText);
  return tag === undefined ? data : { data, tag: response.headers.get('ETag') ?? '' };
}

function parseResponse(response, text, usedToken, asText) {
  if (response.ok && asText) return text;
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    /* not our JSON, for example the error page of a proxy: the status is all there is */
  }
  if (response.ok && body) return body.data;
  // Expire only the rejected token: another tab may have logged in again in the meantime.
  if (response.status === 401 && usedToken) expireSession(usedToken);
  throw new ApiError(
    response.status,
    body ?? { message: `HTTP ${response.status}` },
    Number(response.headers.get('Retry-After')) || null,
  );
}
