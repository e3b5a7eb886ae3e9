// A small picture of a stored file, or a sign of its kind.

import { fileLink } from '../base/api.js';
import { h } from '../base/dom.js';
import { icon } from './icons.js';

const BYTES_MAX = 12_000_000;

export const isPicture = ({ contentType }) => Boolean(contentType?.startsWith('image/')) && !contentType.includes('svg');

export function thumbnail(file) {
  const place = h('span', { class: 'picture', 'aria-hidden': 'true' });
  if (isPicture(file) && !(file.sizeBytes > BYTES_MAX))
    place.append(h('img', { src: fileLink(file.fileId), alt: '', loading: 'lazy', decoding: 'async' }));
  else place.append(icon(signOf(file.contentType ?? ''), 28));
  return place;
}

function signOf(type) {
  const [kind] = type.split('/');
  return ['image', 'video', 'audio', 'text'].includes(kind) ? kind : 'file';
}
