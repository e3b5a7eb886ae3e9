// Files view: uploads and task outputs.

import { call } from '../base/api.js';
import { h, reconcile, setAttr, setChildren, setText } from '../base/dom.js';
import { bytes, timeOfDay, number, fullTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { fileLink } from '../base/file-links.js';
import { go, link, pageOf } from '../base/router.js';
import { resource } from '../live/resource.js';
import { subscribe } from '../live/pub-sub.js';
import { acceptDrops } from '../components/ui/drop-zone.js';
import { errorText } from '../components/ui/error-text.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { pager } from '../components/ui/pager.js';
import { gridThumbnail } from '../components/files/thumbnail.js';
import { confirm, copy } from '../components/ui/dialog.js';
import { toast, toastError } from '../components/ui/toast.js';
import { upload } from '../components/files/upload.js';

const PAGE_SIZE = 60;
const KINDS = [null, 'upload', 'output'];

export function files(root, first, scope) {
  let query = read(first);
  const container = h('div');
  const grid = h('ul', { class: 'file-grid' });
  const total = h('p', { class: 'faint', role: 'status' });
  const chips = KINDS.map((kind) =>
    h(
      'button',
      { type: 'button', class: 'chip', onclick: () => go(link(['files'], { kind })) },
      t(kind ? `files.${kind}s` : 'filter.all'),
    ),
  );
  const pages = pager((page) => go(link(['files'], { kind: query.kind, page: page > 1 ? page : '' })));
  const uploader = uploads(scope, () => source.refreshSoon(300));
  setChildren(
    root,
    h('div', { class: 'head' }, h('h1', {}, t('files')), uploader.button),
    uploader.element,
    h('div', { class: 'chips', role: 'group', 'aria-label': t('filter') }, chips),
    container,
    h('div', { class: 'row between' }, total, pages.element),
  );
  acceptDrops(root, scope, uploader.add);

  const draw = ({ data, error, isOld }) => {
    KINDS.forEach((kind, at) => setAttr(chips[at], 'aria-pressed', String(kind === query.kind)));
    if (data === null) {
      setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(4));
      return;
    }
    setAttr(container, 'data-old', isOld || error !== null);
    setText(total, data.total ? t('files.total', { n: data.total, total: number(data.total) }) : '');
    pages.update(query.page, Math.ceil(data.total / PAGE_SIZE));
    if (data.items.length === 0) setChildren(container, emptyPanel('files', t('files.none'), t('files.none.text')));
    else {
      if (grid.parentNode !== container) setChildren(container, grid);
      reconcile(
        grid,
        data.items,
        (file) => file.fileId,
        (file) => card(file, () => source.refresh()),
      );
    }
  };
  const source = resource(
    scope,
    (signal) =>
      call(
        'GET',
        `files?${new URLSearchParams({ limit: PAGE_SIZE, offset: (query.page - 1) * PAGE_SIZE, ...(query.kind ? { kind: query.kind } : {}) })}`,
        { signal },
      ),
    draw,
  );
  // Ended tasks may have produced files.
  scope.add(subscribe('statuses', () => source.refreshSoon(3_000)));
  source.refresh();
  return {
    update(route) {
      query = read(route);
      source.restart();
    },
  };
}

function read({ query }) {
  const kind = query.get('kind');
  return { kind: KINDS.includes(kind) ? kind : null, page: pageOf(query) };
}

function card(file, refresh) {
  const remove = async () => {
    if (!(await confirm(t('file.delete.question', { name: file.filename }), t('file.delete.text'), t('file.delete')))) return;
    try {
      await call('DELETE', `files/${file.fileId}`);
      toast('good', t('file.deleted', { name: file.filename }));
      refresh();
    } catch (error) {
      toastError(error);
    }
  };
  const openLink = h(
    'a',
    { target: '_blank', rel: 'noopener', 'aria-label': t('file.open', { name: file.filename }) },
    gridThumbnail(file),
  );
  const element = h(
    'li',
    { class: 'file-card', data: { id: file.fileId } },
    openLink,
    h(
      'span',
      { class: 'names' },
      h('strong', { title: file.filename }, file.filename),
      h('span', { class: 'sub', title: fullTime(file.createdAt) }, `${bytes(file.sizeBytes)} · ${timeOfDay(file.createdAt)}`),
    ),
    h(
      'span',
      { class: 'row file-actions' },
      file.taskId
        ? h('a', { class: 'sub', href: link(['tasks', file.taskId]) }, t('file.task'))
        : h('span', { class: 'sub' }, t(`files.${file.kind}`)),
      h(
        'button',
        {
          type: 'button',
          class: 'quiet square',
          title: t('copy.fileId'),
          'aria-label': `${t('copy.fileId')} ${file.filename}`,
          onclick: () => copy(file.fileId),
        },
        icon('copy', 16),
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'quiet square',
          title: t('file.delete'),
          'aria-label': `${t('file.delete')} ${file.filename}`,
          onclick: remove,
        },
        icon('trash', 16),
      ),
    ),
  );
  // Signed links expire, so use the latest one.
  return { element, update: (now) => setAttr(openLink, 'href', fileLink(now)) };
}

/** Upload queue: one file at a time, each with its progress. `done()` is called after each upload. */
function uploads(scope, done) {
  const list = h('ul', { class: 'uploads' });
  const picker = h('input', {
    type: 'file',
    multiple: true,
    class: 'hidden-input',
    tabindex: -1,
    'aria-label': t('file.upload'),
  });
  const queue = [];
  let isSending = false;
  picker.addEventListener('change', () => {
    add([...picker.files]);
    picker.value = '';
  });

  function add(chosen) {
    for (const file of chosen) {
      const progress = h('progress', { max: 100, value: 0, 'aria-label': file.name });
      const note = h('span', { class: 'sub' }, t('upload.queued'));
      const controller = new AbortController();
      const row = h(
        'li',
        {},
        h('span', { class: 'names' }, h('strong', {}, file.name), note),
        progress,
        h(
          'button',
          {
            type: 'button',
            class: 'quiet square',
            'aria-label': t('upload.cancel', { name: file.name }),
            onclick: () => (controller.abort(), row.remove()),
          },
          icon('cancel', 16),
        ),
      );
      list.append(row);
      queue.push({ file, progress, note, controller, row });
    }
    sendNext();
  }
  async function sendNext() {
    if (isSending) return;
    isSending = true;
    for (let next = queue.shift(); next; next = queue.shift()) {
      if (next.controller.signal.aborted) continue;
      try {
        await upload(
          next.file,
          (percent) => {
            next.progress.value = percent;
            setText(next.note, `${percent} % · ${bytes(next.file.size)}`);
          },
          next.controller.signal,
        );
        next.row.remove();
        toast('good', t('upload.done', { name: next.file.name }));
        done();
      } catch (error) {
        if (error.name === 'AbortError') continue;
        next.progress.remove();
        setAttr(next.row, 'data-bad', true);
        setText(next.note, errorText(error));
      }
    }
    isSending = false;
  }
  return {
    element: list,
    button: h(
      'span',
      { class: 'row' },
      picker,
      h('button', { type: 'button', class: 'primary', onclick: () => picker.click() }, icon('upload', 18), t('file.upload')),
    ),
    add,
  };
}
