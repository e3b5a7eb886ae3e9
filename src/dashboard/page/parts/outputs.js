// What a task made: pictures, films, sounds and texts are shown, the rest is linked.

import { fileLink } from '../base/api.js';
import { h } from '../base/dom.js';
import { bytes } from '../base/format.js';
import { t } from '../base/i18n.js';
import { icon } from './icons.js';
import { copy } from './toast.js';

/** A list of figures, in the order of the graph. */
export function outputList(outputs, titleOf) {
  return h(
    'div',
    { class: 'outputs' },
    outputs.map((output) => figure(output, titleOf)),
  );
}

function figure(output, titleOf) {
  const source = output.fileId ? fileLink(output.fileId) : null;
  const node = titleOf(output.nodeId) ?? `#${output.nodeId}`;
  const name = output.filename ?? t(`kind.${output.kind}`);
  return h(
    'figure',
    { class: 'output', data: { kind: output.kind } },
    body(output, source, `${name}, ${node}`),
    h(
      'figcaption',
      {},
      h(
        'span',
        { class: 'names' },
        h('strong', { title: name }, name),
        h(
          'span',
          { class: 'sub' },
          [node, output.sizeBytes ? bytes(output.sizeBytes) : null, output.temporary ? t('output.temporary') : null]
            .filter(Boolean)
            .join(' · '),
        ),
      ),
      source &&
        h(
          'a',
          {
            class: 'button quiet square',
            href: source,
            download: name,
            title: t('download'),
            'aria-label': `${t('download')} ${name}`,
          },
          icon('download', 18),
        ),
      output.text !== undefined &&
        h(
          'button',
          {
            type: 'button',
            class: 'quiet square',
            title: t('copy'),
            'aria-label': `${t('copy')} ${name}`,
            onclick: () => copy(output.text),
          },
          icon('copy', 18),
        ),
    ),
  );
}

/** By the type that the server found in the bytes, not by the name. */
function body(output, source, words) {
  const type = output.contentType ?? '';
  if (output.text !== undefined) return h('pre', { class: 'output-text', tabindex: 0 }, output.text);
  if (type.startsWith('image/') && !type.includes('svg'))
    return h(
      'a',
      { href: source, target: '_blank', rel: 'noopener', class: 'output-picture' },
      h('img', { src: source, alt: words, loading: 'lazy', decoding: 'async' }),
    );
  if (type.startsWith('video/')) return h('video', { src: source, controls: true, preload: 'metadata', 'aria-label': words });
  if (type.startsWith('audio/')) return h('audio', { src: source, controls: true, preload: 'metadata', 'aria-label': words });
  return h(
    'a',
    { class: 'output-file', href: source, download: true },
    icon('file', 32),
    h('span', {}, type || t(`kind.${output.kind}`)),
  );
}
