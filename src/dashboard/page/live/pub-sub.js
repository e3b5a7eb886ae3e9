// Publish/subscribe by topic. Changes are collected and delivered once per animation frame, so that a flood of messages
// costs one repaint.

const listeners = new Map();
/** Topic → ids that changed since the last delivery. */
const pending = new Map();
let isScheduled = false;

/**
 * Calls `listener(ids)` at most once per frame after `topic` changed; `ids` is the set of changed ids. Returns the
 * unsubscribe function.
 */
export function subscribe(topic, listener) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(listener);
  return () => listeners.get(topic).delete(listener);
}

/** Marks `topic` as changed; `id` says which item. */
export function publish(topic, id = '') {
  if (!listeners.get(topic)?.size) return;
  if (!pending.has(topic)) pending.set(topic, new Set());
  pending.get(topic).add(id);
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(deliver);
}

function deliver() {
  isScheduled = false;
  const batch = [...pending];
  pending.clear();
  for (const [topic, ids] of batch) {
    for (const listener of [...(listeners.get(topic) ?? [])]) listener(ids);
  }
}
