// Drafts: unsent input, kept across changes of view and language until logout.

const drafts = new Map();

/** Returns the draft of this name; `make` creates it if there is none. */
export function draft(name, make) {
  if (!drafts.has(name)) drafts.set(name, make());
  return drafts.get(name);
}

export const dropDraft = (name) => drafts.delete(name);
export const dropDrafts = () => drafts.clear();
