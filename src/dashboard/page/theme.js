// Before the first paint: the chosen theme, so that a dark page never flashes white. A classic script, because modules run late.
(() => {
  try {
    const theme = localStorage.getItem('shuzhiren.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    /* storage is switched off: the browser's theme it is */
  }
})();
