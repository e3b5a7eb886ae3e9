// Outputs of a task. Images, videos, audio and values are shown, other files are linked.

import { h, reconcile, setAttr } from '../../base/dom.js';
import { bytes } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { fileLink, isImage } from '../../base/file-links.js';
import { icon } from '../ui/icons.js';
import { thumbnail } from '../files/thumbnail.js';
import { copy } from '../ui/dialog.js';

/** Thumbnail size of a single output, which has the width of the column. */
const SIDE_SINGLE = 1024;
/** Thumbnail size of one of several outputs. */
const SIDE = 480;
/** Largest original that is shown if there is no thumbnail. */
const ORIGINAL_BYTES_MAX = 40_000_000;

/** `{element, update(outputs)}`. Unchanged outputs keep their elements, so that a video keeps playing. */
export function outputList(titleOf) {
  const element = h('div', { class: 'outputs' });
  return {
    element,
    update(outputs) {
      const side = outputs.length === 1 ? SIDE_SINGLE : SIDE;
      const seen = new Map();
      const keyedOutputs = outputs.map((output) => {
        const name = `${output.fileId ?? `${output.nodeId} ${output.key} ${output.text}`} ${output.deleted ?? ''}`;
        seen.set(name, (seen.get(name) ?? 0) + 1);
        return { output, key: `${name} ${seen.get(name)}` };
      });
      reconcile(
        element,
        keyedOutputs,
        (item) => item.key,
        (item) => figure(item.output, titleOf, side),
      );
    },
  };
}

function figure(output, titleOf, side) {
  const source = output.fileId && !output.deleted ? fileLink(output) : null;
  const node = titleOf(output.nodeId) ?? `#${output.nodeId}`;
  const name = output.filename ?? output.key ?? t(`kind.${output.kind}`);
  const content = body(output, source, `${name}, ${node}`, side);
  const element = h(
    'figure',
    { class: 'output', data: { kind: output.kind } },
    content,
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
          [
            node,
            output.text !== undefined ? t(`kind.${output.kind}`) : null,
            output.sizeBytes ? bytes(output.sizeBytes) : null,
            output.temporary ? t('output.temporary') : null,
            output.truncated && source ? t('output.truncated') : null,
          ]
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
  const links = [...element.querySelectorAll('a')];
  // Signed links expire, so use the latest one.
  return { element, update: ({ output: now }) => source && links.forEach((item) => setAttr(item, 'href', fileLink(now))) };
}

/** Content by the type that the server detected in the bytes, not by the file name. `label` is its accessible name. */
function body(output, source, label, side) {
  const type = output.contentType ?? '';
  if (output.text !== undefined) return h('pre', { class: 'output-text', tabindex: 0 }, output.text);
  if (source === null) return h('p', { class: 'output-file' }, icon('trash', 32), h('span', {}, t('output.deleted')));
  if (isImage(output))
    return h(
      'a',
      { href: source, target: '_blank', rel: 'noopener', class: 'output-picture', 'aria-label': label },
      thumbnail(output, side, { alt: label, iconSize: 32, maxBytes: ORIGINAL_BYTES_MAX }),
    );
  if (type.startsWith('video/')) return h('video', { src: source, controls: true, preload: 'metadata', 'aria-label': label });
  if (type.startsWith('audio/')) return h('audio', { src: source, controls: true, preload: 'metadata', 'aria-label': label });
  return h(
    'a',
    { class: 'output-file', href: source, download: true },
    icon('file', 32),
    h('span', {}, type || t(`kind.${output.kind}`)),
  );
}
