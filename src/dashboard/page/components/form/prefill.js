// Prefills a form with the params that came with a workflow. Params that belong to no field are sent along unchanged.
// Pure.

import { member, parseJson } from '../../base/json.js';

/** Returns `{fields: {"<id>\n<input>": state}, rest: ['"@title.x": 1', …]}`; `state` is the draft of a field. */
export function prefillFields(text, nodes) {
  const root = parseJson(text);
  const fields = {};
  const rest = [];
  for (const { key, value } of root.members) {
    const raw = text.slice(value.start, value.end);
    const found = assignments(key, value, nodes);
    const states = found?.map(({ node, input, to }) => [
      `${node.id}\n${input.name}`,
      fieldState(input, to, text.slice(to.start, to.end)),
    ]);
    if (states?.every(([, item]) => item !== null)) Object.assign(fields, Object.fromEntries(states));
    else rest.push(`${JSON.stringify(key)}: ${raw}`);
  }
  return { fields, rest };
}

/** Returns the inputs that a param sets: those of a node, or one by its path. `null` for every other form. */
function assignments(key, value, nodes) {
  const whole = nodes.find((node) => node.id === key);
  if (whole && value.kind === 'object') {
    const inputs = member(value, 'inputs')?.kind === 'object' ? member(value, 'inputs').members : value.members;
    const found = inputs.map((item) => ({
      node: whole,
      input: whole.inputs.find((input) => input.name === item.key),
      to: item.value,
    }));
    return found.every((item) => item.input) ? found : null;
  }
  for (const node of nodes) {
    for (const input of node.inputs) {
      if (key === `${node.id}.${input.name}` || key === `${node.id}.inputs.${input.name}`) return [{ node, input, to: value }];
    }
  }
  return null;
}

/** Returns the draft of a field for a value, or `null` if the field cannot hold it. */
function fieldState(input, value, raw) {
  if (input.kind === 'link') return null;
  if (input.kind === 'file') {
    const file = member(value, '$file');
    return file?.kind === 'string' ? { fileId: file.value } : null;
  }
  if (input.kind === 'seed' && (raw === '"random"' || raw === '-1')) return { isRandom: true };
  if (value.kind === 'object' || value.kind === 'array' || value.kind === 'null')
    return input.kind === 'json' ? { text: raw } : null;
  return { text: value.kind === 'number' ? raw : String(value.value) };
}
