// What a person has typed and not yet sent: it outlives a change of view or language, not a logout.

const drafts = new Map();

/** The draft of this name, made by `make` when there is none. */
export function draft(name, make) {
  if (!drafts.has(name)) drafts.set(name, make());
  return drafts.get(name);
}

export const dropDraft = (name) => drafts.delete(name);
export const dropDrafts = () => drafts.clear();
