// Failure of a task: the name of its kind, and a panel with message, node and traceback.

import { h } from '../../base/dom.js';
import { has, t } from '../../base/i18n.js';
import { icon } from '../ui/icons.js';

/** Returns the name of a failure kind, or the kind itself if the page has no name for it. */
export const failureName = (kind) => (has(`failure.${kind}`) ? t(`failure.${kind}`) : kind);

/** A panel with the failure of a task. `nodeTitle` is the title of the failed node, if known. */
export function failurePanel(failure, nodeTitle) {
  const node = failure.nodeId && [
    nodeTitle ?? failure.nodeType,
    failure.nodeType && nodeTitle !== failure.nodeType ? ` · ${failure.nodeType}` : '',
    ` · #${failure.nodeId}`,
  ];
  return h(
    'section',
    { class: 'panel failure' },
    h('h2', {}, icon('alert'), failureName(failure.type)),
    h('p', { class: 'message' }, failure.message),
    node && h('p', {}, h('span', { class: 'faint' }, `${t('failure.node')} `), h('strong', {}, node)),
    failure.exceptionType &&
      h('p', {}, h('span', { class: 'faint' }, `${t('failure.exception')} `), h('code', {}, failure.exceptionType)),
    failure.traceback?.length
      ? h('details', {}, h('summary', {}, t('failure.traceback')), h('pre', { tabindex: 0 }, failure.traceback.join('\n')))
      : null,
  );
}
