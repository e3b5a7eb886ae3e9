// What a task made: pictures, films, sounds and texts are shown, the rest is linked.

import { h, keyed, mark } from '../../base/dom.js';
import { bytes } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { fileLink, isPicture } from '../../base/file-links.js';
import { icon } from '../ui/icons.js';
import { smallPicture } from '../files/thumbnail.js';
import { copy } from '../ui/toast.js';

/** Alone it has the width of the column. */
const SIDE_ALONE = 1024;
const SIDE = 480;
/** Where there is no small copy the whole is shown, as long as a person may wait for it. */
const WHOLE_BYTES_MAX = 40_000_000;

/** Figures in the order of the graph: `{element, update(outputs)}`; one that stays is left alone, a film goes on. */
export function outputList(titleOf) {
  const element = h('div', { class: 'outputs' });
  return {
    element,
    update(outputs) {
      const side = outputs.length === 1 ? SIDE_ALONE : SIDE;
      const seen = new Map();
      const named = outputs.map((output) => {
        const name = `${output.fileId ?? `${output.nodeId} ${output.text}`} ${output.deleted ?? ''}`;
        seen.set(name, (seen.get(name) ?? 0) + 1);
        return { output, key: `${name} ${seen.get(name)}` };
      });
      keyed(
        element,
        named,
        (item) => item.key,
        (item) => figure(item.output, titleOf, side),
      );
    },
  };
}

function figure(output, titleOf, side) {
  const source = output.fileId && !output.deleted ? fileLink(output) : null;
  const node = titleOf(output.nodeId) ?? `#${output.nodeId}`;
  const name = output.filename ?? t(`kind.${output.kind}`);
  const shown = body(output, source, `${name}, ${node}`, side);
  const element = h(
    'figure',
    { class: 'output', data: { kind: output.kind } },
    shown,
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
  const links = [...element.querySelectorAll('a')];
  // A signed link runs out: the newest is the one to open.
  return { element, update: ({ output: now }) => source && links.forEach((item) => mark(item, 'href', fileLink(now))) };
}

/** By the type that the server found in the bytes, not by the name. */
function body(output, source, words, side) {
  const type = output.contentType ?? '';
  if (output.text !== undefined) return h('pre', { class: 'output-text', tabindex: 0 }, output.text);
  if (source === null) return h('p', { class: 'output-file' }, icon('trash', 32), h('span', {}, t('output.deleted')));
  if (isPicture(output))
    return h(
      'a',
      { href: source, target: '_blank', rel: 'noopener', class: 'output-picture', 'aria-label': words },
      smallPicture(output, side, { alt: words, sign: 32, most: WHOLE_BYTES_MAX }),
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
