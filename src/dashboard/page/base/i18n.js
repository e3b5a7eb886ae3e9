// Words of the page in two languages. Follows the browser until somebody chooses.

import en from '../words/en.js';
import zh from '../words/zh.js';
import { recall, remember } from './browser-storage.js';

const WORDS = { en, zh };
let language = pick();
const listeners = new Set();

function pick() {
  const chosen = recall('language');
  if (chosen in WORDS) return chosen;
  const wish = (navigator.languages ?? [navigator.language]).find((tag) => /^(en|zh)\b/i.test(tag));
  return wish?.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

/** `en` or `zh`. */
export const lang = () => language;

/** The locale for dates and numbers. */
export const locale = () => (language === 'zh' ? 'zh-CN' : 'en-GB');

export function setLanguage(next) {
  if (!(next in WORDS) || next === language) return;
  language = next;
  remember('language', next);
  announce();
}

export function onLanguage(listener) {
  listeners.add(listener);
}

function announce() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const listener of listeners) listener();
}

/** The sentence of a key; `{name}` is filled from `values`, `one|many` is chosen by `values.n`. */
export function t(key, values) {
  let text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  const bar = text.indexOf('|');
  if (bar >= 0 && values && 'n' in values) text = Number(values.n) === 1 ? text.slice(0, bar) : text.slice(bar + 1);
  return values ? text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole)) : text;
}

/** Whether there are words for this key. */
export const has = (key) => key in WORDS[language];

document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
