// Who wants to know what. However much is heard between two frames, a listener is called once, with all of it: a flood of
// messages costs one repaint.

const listeners = new Map();
const heard = new Map();
let isPlanned = false;

/** Calls `listener(ids)` at most once a frame when `topic` changed; `ids` is the set of what changed. Returns the end. */
export function watch(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(listener);
  return () => listeners.get(topic).delete(listener);
}

/** Something of `topic` changed. */
export function changed(topic, id = '') {
  if (!listeners.get(topic)?.size) return;
  if (!heard.has(topic)) heard.set(topic, new Set());
  heard.get(topic).add(id);
  if (isPlanned) return;
  isPlanned = true;
  requestAnimationFrame(tell);
}

function tell() {
  isPlanned = false;
  const told = [...heard];
  heard.clear();
  for (const [topic, ids] of told) {
    for (const listener of [...(listeners.get(topic) ?? [])]) listener(ids);
  }
}
