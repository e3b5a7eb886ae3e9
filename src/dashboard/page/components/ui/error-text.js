// Texts of API errors, problems and warnings: the page's own message if it has one, otherwise the server's.

import { h } from '../../base/dom.js';
import { has, t } from '../../base/i18n.js';

/** Returns one sentence about a failed request. */
export function errorText(error) {
  const wait = error.retryAfter ? ` ${t('error.retryAfter', { n: error.retryAfter })}` : '';
  // Only the server's message names the workflow that uses the file.
  const [, workflow] = (error.type === 'file_in_use' && /\bpublished workflow (\S+?)[,;:]?(?:\s|$)/.exec(error.message)) || [];
  if (workflow) return t('error.file_in_use.workflow', { name: workflow });
  const key = `error.${error.type}`;
  return (has(key) ? t(key) : error.message) + wait;
}

/** Returns the text of one problem. The page has messages only for params of published workflows. */
export function problemText({ code, message, param, nodeId }) {
  const key = `problem.${code}`;
  return param !== undefined && nodeId === undefined && has(key) ? t(key, { param }) : message;
}

/** Returns the list of an error's `details`, or `null`. */
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
        problemText(problem),
        problem.candidates?.length ? ` ${t('problem.didYouMean', { names: problem.candidates.join(', ') })}` : null,
      ),
    ),
  );
}

/** Returns the text of a warning. */
export const warningText = ({ code, message, param }) =>
  has(`warning.${code}`) ? t(`warning.${code}`) : (message ?? `${code} ${param ?? ''}`);

/** Returns the list of warnings of a submit or a dry run, or `null`. */
export function warningList(warnings) {
  if (!warnings?.length) return null;
  return h(
    'ul',
    { class: 'problems' },
    warnings.map((warning) => h('li', {}, warningText(warning))),
  );
}
