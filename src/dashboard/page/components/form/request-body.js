// Body of a submit request as JSON text, with every number as typed. Pure.

import { pointerStep } from '../../base/json.js';

/** Returns the key of a field in `sweep`: its path, or the param name of a published workflow. */
export const sweepAddress = (workflow, { node, input }) => (workflow.isPublished ? input.name : `${node.id}.${input.name}`);

/** Returns `{params, rest}`: the JSON text of the changed params, and the other members. Throws `FieldError`. */
export function readForm(workflow, fields, given, options, sweep) {
  const rest = options.read();
  const axes = sweep.read();
  if (axes.length) {
    const lists = axes.map(({ address, texts }) => `${JSON.stringify(address)}: [${texts.join(', ')}]`);
    rest.sweep = `{${lists.join(', ')}}`;
  }
  const varied = new Set(axes.map(({ address }) => address));
  const params = {};
  const flat = [];
  for (const { node, input, item } of fields) {
    if (varied.has(sweepAddress(workflow, { node, input }))) continue;
    const value = item.jsonText();
    if (value === null) continue;
    const text = `${JSON.stringify(input.name)}: ${value}`;
    if (workflow.isPublished) flat.push(text);
    else (params[node.id] ??= []).push(text);
  }
  const nested = Object.entries(params).map(([id, values]) => `${JSON.stringify(id)}: {${values.join(', ')}}`);
  return { params: `{${[...given, ...flat, ...nested].join(', ')}}`, rest };
}

/** Serializes the members beside workflow and params, each preceded by `separator`. `sweep` already is JSON text. */
const members = (rest, separator) =>
  Object.entries(rest)
    .map(([name, value]) => `${separator}${JSON.stringify(name)}: ${name === 'sweep' ? value : JSON.stringify(value)}`)
    .join('');

/** Returns the complete body. */
export const requestBody = (workflow, { params, rest }) =>
  `{"workflow": ${workflow.text}, "params": ${params}${members(rest, ', ')}}`;

/** Returns the request for display, without the graph. */
export const requestPreview = (workflow, { params, rest }) =>
  `POST /api/tasks\n{"workflow": ${workflow.isPublished ? workflow.text : '{…}'},\n "params": ${params}${members(rest, ',\n ')}}`;

/** Returns the field that a problem points to, if any. */
export const fieldOfProblem = (workflow, fields, { pointer }) =>
  fields.find(({ node, input }) =>
    workflow.isPublished
      ? pointer === `/params/${pointerStep(input.name)}`
      : pointer === `/params/${pointerStep(node.id)}/${pointerStep(input.name)}` ||
        pointer === `/workflow/${pointerStep(node.id)}/inputs/${pointerStep(input.name)}`,
  );
