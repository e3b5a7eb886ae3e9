// What goes wrong, in sentences: of a request, of a task's run.

import { h } from '../../base/dom.js';
import { clock } from '../../base/format.js';
import { has, t } from '../../base/i18n.js';
import { failureName } from './badges.js';
import { icon } from './icons.js';

/** One sentence about a request that failed. The page's own words where it has some, else the server's. */
export function sentence(error) {
  const wait = error.retryAfter ? ` ${t('error.wait', { n: error.retryAfter })}` : '';
  // Which workflow is only in the server's sentence.
  const [, holder] = (error.type === 'file_in_use' && /^the published workflow (\S+) /.exec(error.message)) || [];
  if (holder) return t('error.file_in_use.workflow', { name: holder });
  const key = `error.${error.type}`;
  if (has(key)) return t(key) + wait;
  return `${error.message}${wait}`;
}

/** The panel that stands where something could not be read. */
export function failedPanel(error, again) {
  return h(
    'div',
    { class: 'panel state', role: 'alert' },
    icon('alert', 28),
    h('h2', {}, t('state.failed')),
    h('p', {}, sentence(error)),
    error.requestId && h('p', { class: 'faint mono' }, `${t('requestId')} ${error.requestId}`),
    h('button', { type: 'button', onclick: again }, t('again')),
  );
}

/** The panel that stands where there is nothing yet. */
export function emptyPanel(name, title, text, ...actions) {
  return h(
    'div',
    { class: 'panel state' },
    icon(name, 28),
    h('h2', {}, title),
    h('p', {}, text),
    h('div', { class: 'row' }, actions),
  );
}

/** Grey shapes while something is being read; `rows` of them. */
export function waitingPanel(rows = 4) {
  const shapes = Array.from({ length: rows }, () => h('div', { class: 'skeleton' }));
  return h(
    'div',
    { class: 'panel stack', 'aria-busy': 'true', role: 'status' },
    h('span', { class: 'hidden' }, t('state.loading')),
    shapes,
  );
}

/** One problem in words: the page's own for a param of a published workflow, where it has some. */
export function problemWords({ code, message, param, nodeId }) {
  const key = `problem.${code}`;
  return param !== undefined && nodeId === undefined && has(key) ? t(key, { param }) : message;
}

/** `details` of an error that lists problems. */
export function problemList(error) {
  if (!error.details?.length) return null;
  return h(
    'ul',
    { class: 'problems' },
    error.details.map((problem) =>
      h(
        'li',
        {},
        problem.pointer !== undefined && h('code', {}, problem.pointer || '/'),
        ' ',
        problemWords(problem),
        problem.candidates?.length ? ` ${t('problem.near', { names: problem.candidates.join(', ') })}` : null,
      ),
    ),
  );
}

/** A warning in words: the page's own where it has some. */
export const warningWords = ({ code, message, param }) =>
  has(`warning.${code}`) ? t(`warning.${code}`) : (message ?? `${code} ${param ?? ''}`);

/** Warnings of a submit or a dry run, or `null`. */
export function warningList(warnings) {
  if (!warnings?.length) return null;
  return h(
    'ul',
    { class: 'problems' },
    warnings.map((warning) => h('li', {}, warningWords(warning))),
  );
}

/** Why a task failed: type, message, node, traceback. `title` is the node's title, when it is known. */
export function failureBlock(failure, nodeTitle) {
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

/** Why a task waits. The server says it in English; its few forms are known. */
export function whyItWaits(words) {
  const forms = [
    [/^retry at (\S+), after attempt (\d+) failed$/, 'waits.retry', ['at', 'attempt']],
    [/^(\S+) to begin: the task has been given to it$/, 'waits.begin', ['instance']],
    [/^an instance: the config has none/, 'waits.none', []],
    [/^an instance: (?:all \d+ are|the only one is) disabled/, 'waits.disabled', []],
    [/^an instance: none of the (\d+) enabled is alive/, 'waits.dead', ['n']],
    [/^a healthy instance: /, 'waits.suspect', []],
    [/^a free instance: (?:all (\d+) are|the only one is) busy/, 'waits.busy', ['n']],
    [/^an instance; only /, 'waits.some', []],
    [/^its turn: (\d+) of (\d+) instances free/, 'waits.turn', ['free', 'all']],
  ];
  const form = forms.find(([pattern]) => pattern.test(words));
  if (!form) return words;
  const [pattern, key, names] = form;
  const found = pattern.exec(words);
  const values = Object.fromEntries(
    names.map((name, at) => [name, name === 'at' ? clock(found[at + 1]) : (found[at + 1] ?? '1')]),
  );
  const ahead = /(?:(next in line)|(\d+) tasks? ahead)$/.exec(words);
  const place = !ahead ? '' : ahead[1] ? t('waits.next') : t('waits.ahead', { n: ahead[2] });
  const only = /; only (.+?) (?:has|have) what it needs(, and the config)?/.exec(words);
  const who = only ? t(only[2] ? 'waits.only.gone' : 'waits.only', { names: only[1] }) : '';
  return t(key, values) + who + (place ? t('waits.and', { place }) : '');
}
