// localStorage and sessionStorage. If storage is disabled or full, nothing is stored and nothing fails.

const PREFIX = 'shuzhiren.';

/** Returns the stored text, or `null`. */
export function readStorage(name, storage = 'localStorage') {
  try {
    return window[storage].getItem(PREFIX + name);
  } catch {
    return null;
  }
}

/** Stores a text; `null` removes it. */
export function writeStorage(name, text, storage = 'localStorage') {
  try {
    if (text === null) window[storage].removeItem(PREFIX + name);
    else window[storage].setItem(PREFIX + name, text);
  } catch {
    /* not stored */
  }
}
