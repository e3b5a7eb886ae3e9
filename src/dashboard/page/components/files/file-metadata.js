// A stored file of which only the id is known: its name, type and size, and a small picture of it, asked for with the login.

import { callFile } from '../../base/api.js';
import { hasSmall } from '../../base/file-links.js';

/** `{fileId, filename, contentType, sizeBytes}`; throws `ApiError`, of status 404 when it is not stored any more. */
export async function factsOf(fileId) {
  const headers = await callFile('HEAD', fileId, '', { asHeaders: true });
  const said = headers.get('Content-Disposition') ?? '';
  return {
    fileId,
    filename: nameIn(said) ?? fileId,
    contentType: (headers.get('Content-Type') ?? '').split(';')[0],
    sizeBytes: Number(headers.get('Content-Length')),
  };
}

/** RFC 6266: the exact name is the one with the star. */
function nameIn(disposition) {
  const exact = /filename\*=UTF-8''([^;]+)/i.exec(disposition)?.[1];
  try {
    return exact === undefined ? null : decodeURIComponent(exact);
  } catch {
    return null;
  }
}

/** Shows its picture in `img`, where the server makes a small one; otherwise `failed` is called. */
export async function showSmall(img, file, failed) {
  if (!hasSmall(file)) {
    failed();
    return;
  }
  try {
    const address = URL.createObjectURL(await callFile('GET', file.fileId, '?w=128', { asBlob: true }));
    // What is drawn stays drawn.
    img.addEventListener('load', () => URL.revokeObjectURL(address), { once: true });
    img.src = address;
  } catch {
    failed();
  }
}
