// File field: drop a file, upload one from this computer, or choose a stored one.

import { call } from '../../base/api.js';
import { h, setChildren } from '../../base/dom.js';
import { bytes, shortId } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { isImage } from '../../base/file-links.js';
import { errorText } from '../ui/error-text.js';
import { emptyPanel } from '../ui/panels.js';
import { icon } from '../ui/icons.js';
import { dialog } from '../ui/dialog.js';
import { toastError } from '../ui/toast.js';
import { fileMetadata, showThumbnail } from '../files/file-metadata.js';
import { kindIcon, thumbnail, gridThumbnail } from '../files/thumbnail.js';
import { upload } from '../files/upload.js';

/** `state` receives `fileId`, `filename`, `contentType`, `url`, `sizeBytes` and `isGone`. */
export function fileField(id, input, state, changed) {
  const picker = h('input', { id, type: 'file', class: 'hidden-input', tabindex: -1 });
  const summary = h('div', { class: 'file-shown' });
  const element = h('div', { class: 'file-field' }, summary);
  if (input.fileId && !state.fileId) Object.assign(state, { fileId: input.fileId });

  const useFile = (file) => {
    if (!file) return;
    Object.assign(state, {
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
  const uploadFile = async (chosen) => {
    if (!chosen) return;
    const name = h('span', {}, chosen.name);
    const progress = h('progress', { max: 100, value: 0, 'aria-label': chosen.name });
    setChildren(summary, name, progress);
    try {
      useFile(await upload(chosen, (percent) => (progress.value = percent)));
    } catch (error) {
      toastError(error);
      draw();
    }
  };
  /** Loads the metadata of a file that the workflow names by its id. */
  async function loadMetadata() {
    const { fileId } = state;
    try {
      const metadata = await fileMetadata(fileId);
      if (state.fileId === fileId) Object.assign(state, metadata, { isGone: false });
    } catch (error) {
      if (!error.type) throw error;
      if (state.fileId === fileId) state.isGone = error.status === 404;
    }
    if (state.fileId === fileId) draw();
  }
  function preview() {
    if (!state.fileId) return icon('image', 20);
    const fallback = icon(state.isGone ? 'alert' : kindIcon(state.contentType ?? ''), 20);
    if (!state.contentType || !isImage(state)) return fallback;
    if (state.url) return thumbnail(state, 48, { class: 'file-thumb', iconSize: 20 });
    const picture = h('img', { class: 'file-thumb', alt: '' });
    showThumbnail(picture, state, () => picture.replaceWith(fallback));
    return picture;
  }
  function draw() {
    const name = state.fileId ? (state.filename ?? shortId(state.fileId)) : input.value || t('file.none');
    const note = state.fileId ? t(state.isGone ? 'file.notFound' : 'file.stored') : t('file.onInstance');
    setChildren(
      summary,
      preview(),
      h(
        'span',
        { class: 'names' },
        h('span', { class: 'mono', title: state.fileId ?? null }, name),
        h('span', { class: 'sub' }, note, state.fileId && state.sizeBytes > 0 ? ` · ${bytes(state.sizeBytes)}` : ''),
      ),
      h('button', { type: 'button', onclick: () => picker.click() }, icon('upload', 18), t('file.upload')),
      h('button', { type: 'button', onclick: async () => useFile(await chooseStoredFile()) }, t('file.choose')),
      state.fileId &&
        !input.fileId &&
        h(
          'button',
          {
            type: 'button',
            class: 'quiet square',
            'aria-label': t('file.reset'),
            title: t('file.reset'),
            onclick: () => {
              Object.assign(state, { fileId: null, filename: null, url: null, sizeBytes: null, isGone: false });
              draw();
              changed();
            },
          },
          icon('cancel', 16),
        ),
    );
  }
  picker.addEventListener('change', () => uploadFile(picker.files[0]));
  element.append(picker);
  element.addEventListener('dragover', (event) => (event.preventDefault(), (element.dataset.over = '')));
  element.addEventListener('dragleave', () => delete element.dataset.over);
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    event.stopPropagation();
    delete element.dataset.over;
    uploadFile(event.dataTransfer.files[0]);
  });
  draw();
  if (state.fileId && !state.url) loadMetadata();
  // The file input itself is hidden, so focus the visible button.
  return { element, input: picker, focus: () => summary.querySelector('button')?.focus() };
}

/** Shows the newest stored files. Resolves to the chosen one, or `null`. */
function chooseStoredFile() {
  return dialog(t('file.choose'), (close) => {
    const grid = h('div', { class: 'file-grid small' });
    call('GET', 'files?limit=60').then(
      ({ items }) =>
        setChildren(
          grid,
          items.length
            ? items.map((file) =>
                h(
                  'button',
                  { type: 'button', class: 'file-card', onclick: () => close(file) },
                  gridThumbnail(file),
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
      (error) => setChildren(grid, h('p', { class: 'form-error' }, errorText(error))),
    );
    return h(
      'div',
      { class: 'stack' },
      grid,
      h('div', { class: 'row end' }, h('button', { type: 'button', autofocus: true, onclick: () => close(null) }, t('close'))),
    );
  });
}
