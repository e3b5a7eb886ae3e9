// Modal dialogs: any content, a confirmation, and copying text.

import { freshId, h } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { toast } from './toast.js';

/**
 * Shows a modal dialog. `build(close)` returns its content. Resolves to the argument of `close`, or `null` if it was
 * dismissed.
 */
export function dialog(title, build) {
  return new Promise((resolve) => {
    const id = freshId('dialog');
    const element = h('dialog', { 'aria-labelledby': id });
    let result = null;
    const close = (value) => {
      result = value;
      element.close();
    };
    element.append(h('h2', { id }, title), build(close));
    element.addEventListener('close', () => {
      element.remove();
      resolve(result);
    });
    // A click on the backdrop closes the dialog, as Escape does.
    element.addEventListener('click', (event) => {
      const box = element.getBoundingClientRect();
      const isInside =
        event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
      // A key press on a button is a click at 0, 0, so check the target too.
      if (event.target === element && !isInside) close(null);
    });
    // Navigating to another view dismisses the dialog.
    const dismiss = () => close(null);
    addEventListener('hashchange', dismiss);
    element.addEventListener('close', () => removeEventListener('hashchange', dismiss));
    document.body.append(element);
    element.showModal();
  });
}

/** Asks for confirmation. `action` is the label of the button that confirms. */
export function confirm(title, text, action) {
  return dialog(title, (close) =>
    h(
      'div',
      { class: 'stack' },
      h('p', {}, text),
      h(
        'div',
        { class: 'row end' },
        h('button', { type: 'button', autofocus: true, onclick: () => close(false) }, t('confirm.no')),
        h('button', { type: 'button', class: 'danger', onclick: () => close(true) }, action),
      ),
    ),
  );
}

/** Copies a text to the clipboard. Without permission (plain HTTP), shows it for copying by hand. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('good', t('copied'));
  } catch {
    await dialog(t('copy'), () =>
      h('textarea', { class: 'mono', rows: 8, readonly: true, value: text, autofocus: true, 'aria-label': t('copy') }),
    );
  }
}
