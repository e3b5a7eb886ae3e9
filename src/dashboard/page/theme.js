// Applies the chosen theme before the first paint, so that a dark page never flashes white. A classic script, because
// modules run late.
(() => {
  try {
    const theme = localStorage.getItem('shuzhiren.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    /* storage is disabled: use the browser's theme */
  }
})();
