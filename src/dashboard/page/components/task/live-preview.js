// Preview image of a running task. Polled once a second while the page is visible: the server fetches previews only on
// request.

import { call } from '../../base/api.js';
import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

const POLL_MS = 1_000;

/** `{element, update(task)}`. Hidden until there is a preview, and while the task is not running. */
export function livePreview(id, scope) {
  const image = h('img', { alt: t('preview.alt'), data: { test: 'preview' } });
  const element = h('div', { class: 'live-preview', hidden: true }, image);
  let attempt = null;
  let url = null;
  let isLoading = false;

  function clear() {
    element.hidden = true;
    image.removeAttribute('src');
    if (url) URL.revokeObjectURL(url);
    url = null;
  }
  async function load() {
    if (attempt === null || isLoading || document.visibilityState !== 'visible') return;
    isLoading = true;
    const requested = attempt;
    try {
      const blob = await call('GET', `tasks/${encodeURIComponent(id)}/preview`, { asBlob: true });
      if (requested !== attempt || !scope.isOpen) return;
      const previous = url;
      url = URL.createObjectURL(blob);
      image.src = url;
      element.hidden = false;
      if (previous) URL.revokeObjectURL(previous);
    } catch (error) {
      // No preview yet, or no response: the next poll tries again.
      if (!error.type) throw error;
    } finally {
      isLoading = false;
    }
  }
  scope.every(POLL_MS, load);
  scope.add(() => {
    attempt = null;
    clear();
  });
  return {
    element,
    update(task) {
      const next = task.status === 'running' ? task.attempt : null;
      if (next === attempt) return;
      attempt = next;
      clear();
      load();
    },
  };
}
