// The stored files: what was uploaded and what tasks made.

import { call } from '../base/api.js';
import { h, keyed, mark, put, say } from '../base/dom.js';
import { bytes, clock, number, wholeTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { fileLink } from '../base/file-links.js';
import { go, link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { watch } from '../live/topics.js';
import { dropAnywhere } from '../components/ui/drop-zone.js';
import { emptyPanel, failedPanel, sentence, waitingPanel } from '../components/ui/panels.js';
import { icon } from '../components/ui/icons.js';
import { pager } from '../components/ui/pager.js';
import { thumbnail } from '../components/files/thumbnail.js';
import { confirm, copy, toast, toastError } from '../components/ui/toast.js';
import { upload } from '../components/files/upload.js';

const PAGE = 60;
const KINDS = [null, 'upload', 'output'];

export function files(root, first, scope) {
  let query = read(first);
  const place = h('div');
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
  const sending = uploads(scope, () => source.refreshSoon(300));
  put(
    root,
    h('div', { class: 'head' }, h('h1', {}, t('files')), sending.button),
    sending.element,
    h('div', { class: 'chips', role: 'group', 'aria-label': t('filter') }, chips),
    place,
    h('div', { class: 'row between' }, total, pages.element),
  );
  dropAnywhere(root, scope, sending.take);

  const draw = ({ data, error, isOld }) => {
    KINDS.forEach((kind, at) => mark(chips[at], 'aria-pressed', String(kind === query.kind)));
    if (data === null) {
      put(place, error ? failedPanel(error, source.refresh) : waitingPanel(4));
      return;
    }
    mark(place, 'data-old', isOld || error !== null);
    say(total, data.total ? t('files.total', { n: data.total, total: number(data.total) }) : '');
    pages.update(query.page, Math.ceil(data.total / PAGE));
    if (data.items.length === 0) put(place, emptyPanel('files', t('files.none'), t('files.none.text')));
    else {
      if (grid.parentNode !== place) put(place, grid);
      keyed(
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
        `files?${new URLSearchParams({ limit: PAGE, offset: (query.page - 1) * PAGE, ...(query.kind ? { kind: query.kind } : {}) })}`,
        { signal },
      ),
    draw,
  );
  // An ended task may have made files.
  scope.add(watch('statuses', () => source.refreshSoon(3_000)));
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
  return { kind: KINDS.includes(kind) ? kind : null, page: Math.max(1, Math.floor(Number(query.get('page'))) || 1) };
}

function card(file, refresh) {
  const remove = async () => {
    if (!(await confirm(t('file.delete.ask', { name: file.filename }), t('file.delete.text'), t('file.delete')))) return;
    try {
      await call('DELETE', `files/${file.fileId}`);
      toast('good', t('file.deleted', { name: file.filename }));
      refresh();
    } catch (error) {
      toastError(error);
    }
  };
  const whole = h(
    'a',
    { target: '_blank', rel: 'noopener', 'aria-label': t('file.open', { name: file.filename }) },
    thumbnail(file),
  );
  const element = h(
    'li',
    { class: 'file-card', data: { id: file.fileId } },
    whole,
    h(
      'span',
      { class: 'names' },
      h('strong', { title: file.filename }, file.filename),
      h('span', { class: 'sub', title: wholeTime(file.createdAt) }, `${bytes(file.sizeBytes)} · ${clock(file.createdAt)}`),
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
  // A signed link runs out: the newest is the one to open.
  return { element, update: (now) => mark(whole, 'href', fileLink(now)) };
}

/** One upload at a time, in the order of the drop; each with its progress. */
function uploads(scope, done) {
  const list = h('ul', { class: 'uploads' });
  const picker = h('input', {
    type: 'file',
    multiple: true,
    class: 'hidden-input',
    tabindex: -1,
    'aria-label': t('file.upload'),
  });
  const waiting = [];
  let isSending = false;
  picker.addEventListener('change', () => {
    take([...picker.files]);
    picker.value = '';
  });

  function take(chosen) {
    for (const file of chosen) {
      const progress = h('progress', { max: 100, value: 0, 'aria-label': file.name });
      const words = h('span', { class: 'sub' }, t('upload.waits'));
      const stop = new AbortController();
      const row = h(
        'li',
        {},
        h('span', { class: 'names' }, h('strong', {}, file.name), words),
        progress,
        h(
          'button',
          {
            type: 'button',
            class: 'quiet square',
            'aria-label': t('upload.stop', { name: file.name }),
            onclick: () => (stop.abort(), row.remove()),
          },
          icon('cancel', 16),
        ),
      );
      list.append(row);
      waiting.push({ file, progress, words, stop, row });
    }
    sendNext();
  }
  async function sendNext() {
    if (isSending) return;
    isSending = true;
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      if (next.stop.signal.aborted) continue;
      try {
        await upload(
          next.file,
          (percent) => {
            next.progress.value = percent;
            say(next.words, `${percent} % · ${bytes(next.file.size)}`);
          },
          next.stop.signal,
        );
        next.row.remove();
        toast('good', t('upload.done', { name: next.file.name }));
        done();
      } catch (error) {
        if (error.name === 'AbortError') continue;
        next.progress.remove();
        mark(next.row, 'data-bad', true);
        say(next.words, sentence(error));
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
    take,
  };
}
