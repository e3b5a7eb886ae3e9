// What a running sampler shows: asked for once a second while somebody looks, because to ask is what makes the server fetch it.

import { call } from '../../base/api.js';
import { h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';

const EVERY_MS = 1_000;

/** `{element, update(task)}`; hidden until there is a picture, and when the task does not run. */
export function livePreview(id, scope) {
  const picture = h('img', { alt: t('preview.of'), data: { test: 'preview' } });
  const element = h('div', { class: 'live-preview', hidden: true }, picture);
  let attempt = null;
  let address = null;
  let isAsking = false;

  function clear() {
    element.hidden = true;
    picture.removeAttribute('src');
    if (address) URL.revokeObjectURL(address);
    address = null;
  }
  async function ask() {
    if (attempt === null || isAsking || document.visibilityState !== 'visible') return;
    isAsking = true;
    const mine = attempt;
    try {
      const blob = await call('GET', `tasks/${encodeURIComponent(id)}/preview`, { asBlob: true });
      if (mine !== attempt || !scope.isOpen) return;
      const before = address;
      address = URL.createObjectURL(blob);
      picture.src = address;
      element.hidden = false;
      if (before) URL.revokeObjectURL(before);
    } catch (error) {
      // None yet, or no answer: the next question will tell.
      if (!error.type) throw error;
    } finally {
      isAsking = false;
    }
  }
  scope.every(EVERY_MS, ask);
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
      ask();
    },
  };
}
