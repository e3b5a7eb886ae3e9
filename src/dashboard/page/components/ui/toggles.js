// Language and theme.

import { h, mark, put } from '../../base/dom.js';
import { lang, setLanguage, t } from '../../base/i18n.js';
import { recall, remember } from '../../base/browser-storage.js';
import { icon } from './icons.js';

/** Names the language that it leads to, in that language. */
export function languageSwitch() {
  const other = lang() === 'zh' ? 'en' : 'zh';
  return h(
    'button',
    {
      type: 'button',
      class: 'quiet',
      lang: other === 'zh' ? 'zh-CN' : 'en',
      data: { test: 'language' },
      onclick: () => setLanguage(other),
    },
    icon('language', 18),
    other === 'zh' ? '中文' : 'English',
  );
}

const THEMES = ['auto', 'light', 'dark'];
const PICTURES = { auto: 'auto', light: 'sun', dark: 'moon' };

/** Goes round: as the browser wishes, light, dark. */
export function themeSwitch() {
  const button = h('button', { type: 'button', class: 'quiet', data: { test: 'theme' } });
  const draw = (theme) => {
    put(button, icon(PICTURES[theme], 18), t(`theme.${theme}`));
    mark(button, 'aria-label', `${t('theme')}: ${t(`theme.${theme}`)}`);
  };
  const current = () => (THEMES.includes(recall('theme')) ? recall('theme') : 'auto');
  button.addEventListener('click', () => {
    const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    remember('theme', next === 'auto' ? null : next);
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    draw(next);
  });
  draw(current());
  return button;
}
