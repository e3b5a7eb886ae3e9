// Metadata and thumbnail of a stored file whose id alone is known. Requests use the login token.

import { callFile } from '../../base/api.js';
import { hasThumbnail } from '../../base/file-links.js';

/**
 * Resolves to `{fileId, filename, contentType, sizeBytes}`. Throws `ApiError`, with status 404 if the file no longer
 * exists.
 */
export async function fileMetadata(fileId) {
  const headers = await callFile('HEAD', fileId, '', { asHeaders: true });
  const disposition = headers.get('Content-Disposition') ?? '';
  return {
    fileId,
    filename: filenameOf(disposition) ?? fileId,
    contentType: (headers.get('Content-Type') ?? '').split(';')[0],
    sizeBytes: Number(headers.get('Content-Length')),
  };
}

/** Returns the `filename*` parameter (RFC 6266), or `null`. */
function filenameOf(disposition) {
  const exact = /filename\*=UTF-8''([^;]+)/i.exec(disposition)?.[1];
  try {
    return exact === undefined ? null : decodeURIComponent(exact);
  } catch {
    return null;
  }
}

/** Shows the thumbnail of `file` in `img`. Calls `onFailure` if the server has none. */
export async function showThumbnail(img, file, onFailure) {
  if (!hasThumbnail(file)) {
    onFailure();
    return;
  }
  try {
    const url = URL.createObjectURL(await callFile('GET', file.fileId, '?w=128', { asBlob: true }));
    // A decoded image does not need its URL any more.
    img.addEventListener('load', () => URL.revokeObjectURL(url), { once: true });
    img.src = url;
  } catch {
    onFailure();
  }
}
