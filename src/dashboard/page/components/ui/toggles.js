// Buttons that switch language and theme.

import { h, setAttr, setChildren } from '../../base/dom.js';
import { lang, setLanguage, t } from '../../base/i18n.js';
import { readStorage, writeStorage } from '../../base/browser-storage.js';
import { icon } from './icons.js';

/** A button labelled with the other language, in that language. */
export function languageToggle() {
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
const ICONS = { auto: 'auto', light: 'sun', dark: 'moon' };

/** A button that cycles through browser default, light and dark. */
export function themeToggle() {
  const button = h('button', { type: 'button', class: 'quiet', data: { test: 'theme' } });
  const draw = (theme) => {
    setChildren(button, icon(ICONS[theme], 18), t(`theme.${theme}`));
    setAttr(button, 'aria-label', `${t('theme')}: ${t(`theme.${theme}`)}`);
  };
  const current = () => (THEMES.includes(readStorage('theme')) ? readStorage('theme') : 'auto');
  button.addEventListener('click', () => {
    const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    writeStorage('theme', next === 'auto' ? null : next);
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    draw(next);
  });
  draw(current());
  return button;
}
