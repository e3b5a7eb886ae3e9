// A field for a file: drop it, choose it from this computer, or take one that is stored already.

import { call } from '../../base/api.js';
import { h, put } from '../../base/dom.js';
import { bytes, shortId } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { isPicture } from '../../base/file-links.js';
import { emptyPanel, sentence } from '../ui/panels.js';
import { icon } from '../ui/icons.js';
import { dialog, toastError } from '../ui/toast.js';
import { factsOf, showSmall } from '../files/file-metadata.js';
import { signOf, smallPicture, thumbnail } from '../files/thumbnail.js';
import { upload } from '../files/upload.js';

/** `kept` gets `fileId`, `filename`, `contentType`, `url`, `sizeBytes`, `isGone`. */
export function fileField(id, input, kept, changed) {
  const picker = h('input', { id, type: 'file', class: 'hidden-input', tabindex: -1 });
  const shown = h('div', { class: 'file-shown' });
  const element = h('div', { class: 'file-field' }, shown);
  if (input.fileId && !kept.fileId) Object.assign(kept, { fileId: input.fileId });

  const take = (file) => {
    if (!file) return;
    Object.assign(kept, {
      fileId: file.fileId,
      filename: file.filename,
      contentType: file.contentType,
      url: file.url,
      sizeBytes: file.sizeBytes,
      isGone: false,
    });
    draw();
    changed();
  };
  const send = async (chosen) => {
    if (!chosen) return;
    const words = h('span', {}, chosen.name);
    const progress = h('progress', { max: 100, value: 0, 'aria-label': chosen.name });
    put(shown, words, progress);
    try {
      take(await upload(chosen, (percent) => (progress.value = percent)));
    } catch (error) {
      toastError(error);
      draw();
    }
  };
  /** Of a file that came with the workflow only the id is known. */
  async function learn() {
    const { fileId } = kept;
    try {
      const facts = await factsOf(fileId);
      if (kept.fileId === fileId) Object.assign(kept, facts, { isGone: false });
    } catch (error) {
      if (!error.type) throw error;
      if (kept.fileId === fileId) kept.isGone = error.status === 404;
    }
    if (kept.fileId === fileId) draw();
  }
  function pictureOf() {
    if (!kept.fileId) return icon('image', 20);
    const sign = icon(kept.isGone ? 'alert' : signOf(kept.contentType ?? ''), 20);
    if (!kept.contentType || !isPicture(kept)) return sign;
    if (kept.url) return smallPicture(kept, 48, { class: 'file-thumb', sign: 20 });
    const picture = h('img', { class: 'file-thumb', alt: '' });
    showSmall(picture, kept, () => picture.replaceWith(sign));
    return picture;
  }
  function draw() {
    const name = kept.fileId ? (kept.filename ?? shortId(kept.fileId)) : input.value || t('file.none');
    const words = kept.fileId ? t(kept.isGone ? 'file.gone' : 'file.stored') : t('file.on_instance');
    put(
      shown,
      pictureOf(),
      h(
        'span',
        { class: 'names' },
        h('span', { class: 'mono', title: kept.fileId ?? null }, name),
        h('span', { class: 'sub' }, words, kept.fileId && kept.sizeBytes > 0 ? ` · ${bytes(kept.sizeBytes)}` : ''),
      ),
      h('button', { type: 'button', onclick: () => picker.click() }, icon('upload', 18), t('file.upload')),
      h('button', { type: 'button', onclick: async () => take(await chooseStored()) }, t('file.choose')),
      kept.fileId &&
        !input.fileId &&
        h(
          'button',
          {
            type: 'button',
            class: 'quiet square',
            'aria-label': t('file.undo'),
            title: t('file.undo'),
            onclick: () => {
              Object.assign(kept, { fileId: null, filename: null, url: null, sizeBytes: null, isGone: false });
              draw();
              changed();
            },
          },
          icon('cancel', 16),
        ),
    );
  }
  picker.addEventListener('change', () => send(picker.files[0]));
  element.append(picker);
  element.addEventListener('dragover', (event) => (event.preventDefault(), (element.dataset.over = '')));
  element.addEventListener('dragleave', () => delete element.dataset.over);
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    delete element.dataset.over;
    send(event.dataTransfer.files[0]);
  });
  draw();
  if (kept.fileId && !kept.url) learn();
  // The buttons do what it does, and are seen.
  return { element, input: picker, focus: () => shown.querySelector('button')?.focus() };
}

/** The newest stored files; resolves with one of them or `null`. */
function chooseStored() {
  return dialog(t('file.choose'), (close) => {
    const place = h('div', { class: 'file-grid small' });
    call('GET', 'files?limit=60').then(
      ({ items }) =>
        put(
          place,
          items.length
            ? items.map((file) =>
                h(
                  'button',
                  { type: 'button', class: 'file-card', onclick: () => close(file) },
                  thumbnail(file),
                  h(
                    'span',
                    { class: 'names' },
                    h('strong', { title: file.filename }, file.filename),
                    h('span', { class: 'sub' }, `${t(`files.${file.kind}`)} · ${bytes(file.sizeBytes)}`),
                  ),
                ),
              )
            : emptyPanel('files', t('files.none'), t('files.none.text')),
        ),
      (error) => put(place, h('p', { class: 'form-error' }, sentence(error))),
    );
    return h(
      'div',
      { class: 'stack' },
      place,
      h('div', { class: 'row end' }, h('button', { type: 'button', autofocus: true, onclick: () => close(null) }, t('close'))),
    );
  });
}
