// Workflows view: the published workflows by name.

import { callPage } from '../base/api.js';
import { h, reconcile, setAttr, setChildren, setText } from '../base/dom.js';
import { timeOfDay, number, fullTime } from '../base/format.js';
import { t } from '../base/i18n.js';
import { go, link, pageOf } from '../base/router.js';
import { resource } from '../live/resource.js';
import { emptyPanel, failedPanel, loadingPanel } from '../components/ui/panels.js';
import { pager } from '../components/ui/pager.js';

const PAGE_SIZE = 50;

export function workflows(root, first, scope) {
  let page = pageOf(first.query);
  const container = h('div');
  const list = h('ul', { class: 'cards' });
  const pages = pager((next) => go(link(['workflows'], { page: next > 1 ? next : '' })));
  setChildren(root, h('div', { class: 'head' }, h('h1', {}, t('workflows'))), container, pages.element);
  const source = resource(
    scope,
    (signal) => callPage('workflows', { limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE }, { signal }),
    ({ data, error, isOld }) => {
      if (data === null) {
        setChildren(container, error ? failedPanel(error, source.refresh) : loadingPanel(4));
        return;
      }
      setAttr(container, 'data-old', isOld || error !== null);
      pages.update(page, Math.ceil(data.total / PAGE_SIZE));
      if (data.items.length === 0)
        setChildren(
          container,
          emptyPanel(
            'workflows',
            t('workflows.none'),
            t('workflows.none.text'),
            h('a', { class: 'button primary', href: link(['submit']) }, t('submit')),
          ),
        );
      else {
        if (list.parentNode !== container) setChildren(container, list);
        reconcile(list, data.items, (item) => item.name, card);
      }
    },
  );
  source.refresh();
  return {
    update(route) {
      page = pageOf(route.query);
      source.restart();
    },
  };
}

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
      setText(text, item.description ?? '');
      const count = Object.keys(item.params).length;
      setText(
        facts,
        `${t('workflow.version', { n: item.version })} · ${t('workflows.params', { n: number(count) })} · ${timeOfDay(item.updatedAt)}`,
      );
      setAttr(facts, 'title', fullTime(item.updatedAt));
    },
  };
}
