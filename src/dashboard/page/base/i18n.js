// Messages in two languages. The browser's language applies until the user chooses one.

import en from '../words/en.js';
import zh from '../words/zh.js';
import { readStorage, writeStorage } from './browser-storage.js';

const MESSAGES = { en, zh };
let language = initialLanguage();
const listeners = new Set();

function initialLanguage() {
  const chosen = readStorage('language');
  if (chosen in MESSAGES) return chosen;
  const preferred = (navigator.languages ?? [navigator.language]).find((tag) => /^(en|zh)\b/i.test(tag));
  return preferred?.toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

/** Current language: `en` or `zh`. */
export const lang = () => language;

/** Locale for dates and numbers. */
export const locale = () => (language === 'zh' ? 'zh-CN' : 'en-GB');

export function setLanguage(next) {
  if (!(next in MESSAGES) || next === language) return;
  language = next;
  writeStorage('language', next);
  announce();
}

export function onLanguage(listener) {
  listeners.add(listener);
}

function announce() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const listener of listeners) listener();
}

/** Returns the message of a key. `{name}` is replaced from `values`; `singular|plural` is chosen by `values.n`. */
export function t(key, values) {
  let text = MESSAGES[language][key] ?? MESSAGES.en[key] ?? key;
  const bar = text.indexOf('|');
  if (bar >= 0 && values && 'n' in values) text = Number(values.n) === 1 ? text.slice(0, bar) : text.slice(bar + 1);
  return values ? text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole)) : text;
}

/** Whether a message with this key exists. */
export const has = (key) => key in MESSAGES[language];

document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
