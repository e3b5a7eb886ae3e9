// Sends a file. The only request that is not a `fetch`: that one cannot say how far it is.

import { ApiError } from '../../base/api.js';
import { expire, token } from '../../base/session.js';

/** Resolves with the stored file; `tell(percent)` hears how far it is, `signal` stops it. */
export function upload(file, tell, signal) {
  return new Promise((resolve, reject) => {
    const mine = token();
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append('file', file, file.name);
    request.open('POST', 'api/files/upload');
    request.setRequestHeader('Authorization', `Bearer ${mine}`);
    request.upload.onprogress = (event) => event.lengthComputable && tell(Math.floor((event.loaded / event.total) * 100));
    request.onerror = () => reject(new ApiError(0, null, null));
    request.onabort = () => reject(new DOMException('stopped', 'AbortError'));
    request.onload = () => {
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        /* a proxy's page */
      }
      if (request.status === 200 && body) resolve(body.data);
      else {
        if (request.status === 401) expire(mine);
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
