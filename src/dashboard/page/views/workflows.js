// The published workflows, by name.

import { call } from '../base/api.js';
import { h, keyed, mark, put, say } from '../base/dom.js';
import { clock, number, wholeTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { go, link } from '../base/router.js';
import { resource } from '../live/resource.js';
import { emptyPanel, failedPanel, waitingPanel } from '../components/ui/panels.js';
import { pager } from '../components/ui/pager.js';

const PAGE = 50;

export function workflows(root, first, scope) {
  let page = pageOf(first);
  const place = h('div');
  const list = h('ul', { class: 'cards' });
  const pages = pager((next) => go(link(['workflows'], { page: next > 1 ? next : '' })));
  put(root, h('div', { class: 'head' }, h('h1', {}, t('workflows'))), place, pages.element);
  const source = resource(
    scope,
    (signal) => call('GET', `workflows?limit=${PAGE}&offset=${(page - 1) * PAGE}`, { signal }),
    ({ data, error, isOld }) => {
      if (data === null) {
        put(place, error ? failedPanel(error, source.refresh) : waitingPanel(4));
        return;
      }
      mark(place, 'data-old', isOld || error !== null);
      pages.update(page, Math.ceil(data.total / PAGE));
      if (data.items.length === 0)
        put(
          place,
          emptyPanel(
            'workflows',
            t('workflows.none'),
            t('workflows.none.text'),
            h('a', { class: 'button primary', href: link(['submit']) }, t('submit')),
          ),
        );
      else {
        if (list.parentNode !== place) put(place, list);
        keyed(list, data.items, (item) => item.name, card);
      }
    },
  );
  source.refresh();
  return {
    update(route) {
      page = pageOf(route);
      source.restart();
    },
  };
}

const pageOf = ({ query }) => Math.max(1, Math.floor(Number(query.get('page'))) || 1);

function card(first) {
  const facts = h('span', { class: 'sub' });
  const text = h('p', {});
  const element = h(
    'li',
    { class: 'panel card', data: { name: first.name } },
    h('a', { class: 'row-link', href: link(['workflows', first.name]) }, first.name),
    text,
    facts,
  );
  return {
    element,
    update(item) {
      say(text, item.description ?? '');
      const count = Object.keys(item.params).length;
      say(
        facts,
        `${t('workflow.version', { n: item.version })} · ${t('workflows.params', { n: number(count) })} · ${clock(item.updatedAt)}`,
      );
      mark(facts, 'title', wholeTime(item.updatedAt));
    },
  };
}
