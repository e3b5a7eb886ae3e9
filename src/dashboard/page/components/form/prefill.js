// Params that come with a workflow: what belongs to a field goes into the form, the rest is sent along as it is. Pure.

import { member, parseJson } from '../../base/json.js';

/** `{fields: {"<id>\n<input>": kept}, rest: ['"@title.x": 1', …]}` */
export function adoptParams(text, nodes) {
  const root = parseJson(text);
  const fields = {};
  const rest = [];
  for (const { key, value } of root.members) {
    const raw = text.slice(value.start, value.end);
    const found = assignments(key, value, nodes);
    const kept = found?.map(({ node, input, to }) => [
      `${node.id}\n${input.name}`,
      keptOf(input, to, text.slice(to.start, to.end)),
    ]);
    if (kept?.every(([, item]) => item !== null)) Object.assign(fields, Object.fromEntries(kept));
    else rest.push(`${JSON.stringify(key)}: ${raw}`);
  }
  return { fields, rest };
}

/** Where a param leads: a node with inputs, or one input by its path; `null` for every other form. */
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

/** What a field keeps for a value; `null` for one that no field can hold. */
function keptOf(input, value, raw) {
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
