// Thumbnail of a stored file. Falls back to the original image, then to an icon of the file's kind.

import { fileLink, hasThumbnail, isImage, thumbnailLink } from '../../base/file-links.js';
import { h } from '../../base/dom.js';
import { icon } from '../ui/icons.js';

/** Largest original that is loaded in place of a thumbnail in a list. */
const BYTES_MAX = 4_000_000;

/** An image of `side` CSS pixels, or an icon if the file cannot be shown. Originals above `maxBytes` are not loaded. */
export function thumbnail(file, side, { alt = '', iconSize = 28, maxBytes = BYTES_MAX, ...attributes } = {}) {
  const fallback = () => icon(kindIcon(file.contentType ?? ''), iconSize);
  const canShowOriginal = isImage(file) && !(file.sizeBytes > maxBytes);
  if (!hasThumbnail(file) && !canShowOriginal) return fallback();
  let isThumbnail = hasThumbnail(file);
  const image = h('img', {
    ...attributes,
    src: isThumbnail ? thumbnailLink(file, side) : fileLink(file),
    alt,
    loading: 'lazy',
    decoding: 'async',
  });
  image.addEventListener('error', () => {
    if (isThumbnail && canShowOriginal) {
      isThumbnail = false;
      image.src = fileLink(file);
    } else image.replaceWith(fallback());
  });
  return image;
}

/** Thumbnail for a grid of files. */
export function gridThumbnail(file) {
  return h('span', { class: 'picture', 'aria-hidden': 'true' }, thumbnail(file, 176));
}

/** Returns the name of the icon for a content type. */
export function kindIcon(type) {
  const [kind] = type.split('/');
  return ['image', 'video', 'audio', 'text'].includes(kind) ? kind : 'file';
}
