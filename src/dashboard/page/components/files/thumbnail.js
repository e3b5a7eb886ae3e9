// A small picture of a stored file, or a sign of its kind. The server makes the small copies; the original stands in where it cannot.

import { fileLink, hasSmall, isPicture, smallLink } from '../../base/file-links.js';
import { h } from '../../base/dom.js';
import { icon } from '../ui/icons.js';

/** An original beyond this is not fetched for a list. */
const BYTES_MAX = 4_000_000;

/** The picture for a place of `side` CSS pixels; of what cannot be shown, a sign of its kind. */
export function smallPicture(file, side, { alt = '', sign = 28, most = BYTES_MAX, ...more } = {}) {
  const instead = () => icon(signOf(file.contentType ?? ''), sign);
  const mayWhole = isPicture(file) && !(file.sizeBytes > most);
  if (!hasSmall(file) && !mayWhole) return instead();
  let isSmall = hasSmall(file);
  const picture = h('img', {
    ...more,
    src: isSmall ? smallLink(file, side) : fileLink(file),
    alt,
    loading: 'lazy',
    decoding: 'async',
  });
  picture.addEventListener('error', () => {
    if (isSmall && mayWhole) {
      isSmall = false;
      picture.src = fileLink(file);
    } else picture.replaceWith(instead());
  });
  return picture;
}

/** One in a grid of files. */
export function thumbnail(file) {
  return h('span', { class: 'picture', 'aria-hidden': 'true' }, smallPicture(file, 176));
}

/** The sign of a content type. */
export function signOf(type) {
  const [kind] = type.split('/');
  return ['image', 'video', 'audio', 'text'].includes(kind) ? kind : 'file';
}
