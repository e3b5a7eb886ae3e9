// Requests to the API: token in, `data` out, one kind of error.

import { expire, token } from './session.js';

/** Why a request did not do what it should: `type` and `details` are the API's, or `network` when there was no answer. */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body?.message ?? 'no answer');
    this.status = status;
    this.type = body?.error?.type ?? (status === 0 ? 'network' : 'unknown');
    this.details = body?.error?.details ?? [];
    this.requestId = body?.error?.requestId ?? null;
    this.retryAfter = retryAfter;
  }
}

/** Longest wait for an answer. */
const TIMEOUT_MS = 30_000;

/**
 * `call('GET', 'tasks?limit=5')` → `data`. `body` is an object, or a string that is JSON already. With `tag` (an ETag, or `''`) the
 * answer is `{data, tag}`, or `null` when what that tag names is what there is.
 * Addresses are relative: the page works behind a proxy that serves it under a path.
 */
export const call = (method, path, options) => ask(method, `api/${path}`, options);

/** The same for the bytes of a stored file: by a login they can be had without a signed link. */
export const callFile = (method, fileId, query, options) =>
  ask(method, `upload/file/${encodeURIComponent(fileId)}${query}`, options);

async function ask(method, address, { body, headers, signal, asText, asBlob, asHeaders, tag } = {}) {
  const mine = token();
  const given = AbortSignal.timeout(TIMEOUT_MS);
  const request = {
    method,
    headers: { ...headers },
    signal: signal ? AbortSignal.any([signal, given]) : given,
    cache: 'no-store',
    credentials: 'omit',
  };
  if (mine) request.headers.Authorization = `Bearer ${mine}`;
  if (tag) request.headers['If-None-Match'] = tag;
  if (body !== undefined) {
    request.headers['Content-Type'] = 'application/json';
    request.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  let response;
  let text;
  try {
    response = await fetch(address, request);
    if (response.ok && asHeaders) return response.headers;
    if (response.ok && asBlob) return await response.blob();
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, null, null);
  }
  if (tag && response.status === 304) return null;
  const data = read(response, text, mine, asText);
  return tag === undefined ? data : { data, tag: response.headers.get('ETag') ?? '' };
}

function read(response, text, mine, asText) {
  if (response.ok && asText) return text;
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    /* a proxy's page: the status has to do */
  }
  if (response.ok && body) return body.data;
  // Only for the token that was refused: another tab may have logged in again meanwhile.
  if (response.status === 401 && mine) expire(mine);
  throw new ApiError(
    response.status,
    body ?? { message: `HTTP ${response.status}` },
    Number(response.headers.get('Retry-After')) || null,
  );
}
