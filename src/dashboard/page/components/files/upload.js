// Uploads a file. Uses XMLHttpRequest, because `fetch` cannot report upload progress.

import { ApiError } from '../../base/api.js';
import { expireSession, token } from '../../base/session.js';

/**
 * Resolves to the stored file. Calls `onProgress(percent)`; `signal` aborts the upload. Rejects with `ApiError` or
 * `AbortError`.
 */
export function upload(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const usedToken = token();
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append('file', file, file.name);
    request.open('POST', 'api/files/upload');
    request.setRequestHeader('Authorization', `Bearer ${usedToken}`);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(Math.floor((event.loaded / event.total) * 100));
    request.onerror = () => reject(new ApiError(0, null, null));
    request.onabort = () => reject(new DOMException('upload aborted', 'AbortError'));
    request.onload = () => {
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        /* not our JSON, for example the error page of a proxy */
      }
      if (request.status === 200 && body) resolve(body.data);
      else {
        if (request.status === 401) expireSession(usedToken);
        reject(
          new ApiError(
            request.status,
            body ?? { message: `HTTP ${request.status}` },
            Number(request.getResponseHeader('Retry-After')) || null,
          ),
        );
      }
    };
    signal?.addEventListener('abort', () => request.abort());
    request.send(form);
  });
}
