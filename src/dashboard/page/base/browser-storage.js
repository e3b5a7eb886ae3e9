// What the browser keeps between visits. Storage may be switched off or full: then nothing is kept, and nothing breaks.

const PREFIX = 'shuzhiren.';

/** The kept text, or `null`. */
export function recall(name, storage = 'localStorage') {
  try {
    return window[storage].getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Keeps a text; `null` forgets it. */
export function remember(name, text, storage = 'localStorage') {
  try {
    if (text === null) window[storage].removeItem(PREFIX + name);
    else window[storage].setItem(PREFIX + name, text);
  } catch {
    /* not kept */
  }
}
