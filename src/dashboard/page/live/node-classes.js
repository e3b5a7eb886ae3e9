// What the instances declare of the classes of a workflow; kept, and asked for again with its ETag.

import { call } from '../base/api.js';

/** Classes in one question: an address has its limits, and the server takes 200. */
const CLASSES_MAX = 80;
/** A form is worth more now than its hints later. */
const WAIT_MS = 2_500;
const KEPT_MAX = 20;

/** Question → `{tag, data}`. */
const kept = new Map();

/** `{class: {title, inputs: [{name, type, required, min, max, options, …}]}}` of those that are known; without an answer, none. */
export async function declaredOf(nodes) {
  const classes = [...new Set(nodes.map((node) => node.type))].filter((name) => name && !name.includes(',')).sort();
  const signal = AbortSignal.timeout(WAIT_MS);
  const questions = [];
  for (let at = 0; at < classes.length; at += CLASSES_MAX) questions.push(classes.slice(at, at + CLASSES_MAX).join(','));
  try {
    const answers = await Promise.all(questions.map((question) => ask(question, signal)));
    return Object.assign(Object.create(null), ...answers.map((answer) => answer.classes));
  } catch (error) {
    // The form does without: values were guessed before, too.
    if (!error.type && error.name !== 'TimeoutError' && error.name !== 'AbortError') throw error;
    return {};
  }
}

async function ask(question, signal) {
  const before = kept.get(question);
  const answer = await call('GET', `nodes?${new URLSearchParams({ class: question })}`, { tag: before?.tag ?? '', signal });
  if (answer === null) return before.data;
  kept.delete(question);
  kept.set(question, answer);
  if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value);
  return answer.data;
}
