// Form of a published workflow: one field per declared param, with the bounds of its schema and the default or the
// graph's value. Pure.

import { member, parseJson } from '../../base/json.js';
import { parseWorkflow } from './parse-workflow.js';

/** Returns the workflow for `submitForm`, from the text of `GET /api/workflows/:name` and the data of its `/schema`. */
export function readPublishedForm(text, schema) {
  const data = member(parseJson(text), 'data');
  const { name, version, latestVersion, versions, description, createdAt } = JSON.parse(text).data;
  const graph = member(data, 'workflow');
  const graphText = text.slice(graph.start, graph.end);
  const graphNodes = parseWorkflow(graphText).nodes ?? [];
  const inputs = (member(data, 'params')?.members ?? []).map(({ key, value }) =>
    inputOf(key, value, schema.properties[key] ?? {}, graphNodes, text),
  );
  return {
    form: 'api',
    isPublished: true,
    text: JSON.stringify(version === latestVersion ? name : `${name}@${version}`),
    graph: graphText,
    graphNodes,
    nodes: [{ id: '', type: '', title: name, inputs }],
    published: { name, version, latestVersion, versions, description, createdAt },
  };
}

function inputOf(name, declared, schema, nodes, text) {
  const type = member(declared, 'type')?.value ?? 'string';
  const defaultValue = member(declared, 'default');
  const targets = member(declared, 'target');
  const target = targets?.kind === 'array' ? targets.items[0]?.value : targets?.value;
  const graphInput = inputAt(target, nodes);
  // A param that accepts "random" has a schema with several forms.
  const isSeed = type === 'integer' && Array.isArray(schema.anyOf);
  const { minimum: min, maximum: max, enum: options } = isSeed ? schema.anyOf[0] : schema;
  const kind = kindOf(type, isSeed, graphInput, options);
  const inputSchema = { type: type === 'integer' ? 'INT' : 'FLOAT', min, max, options, tooltip: schema.description };
  const hasDefault = defaultValue && defaultValue.kind !== 'null';
  const raw = hasDefault
    ? text.slice(defaultValue.start, defaultValue.end)
    : graphInput && fits(kind, graphInput)
      ? graphInput.raw
      : null;
  return {
    name,
    kind,
    schema: inputSchema,
    raw: raw ?? 'null',
    value: valueOf(kind, raw),
    fileId: kind === 'file' ? fileIdOf(raw) : undefined,
    isRandom: kind === 'seed' && /^("random"|-1)$/.test(raw ?? ''),
  };
}

/** Returns the input of the graph that a param sets, if its target is a plain path. */
function inputAt(target, nodes) {
  const at = target?.indexOf('.') ?? -1;
  const name = at < 0 ? '' : target.slice(at + 1).replace(/^inputs\./, '');
  return nodes.find((node) => node.id === target?.slice(0, at))?.inputs.find((input) => input.name === name);
}

function kindOf(type, isSeed, graphInput, options) {
  if (type === 'integer' || type === 'number') return isSeed ? 'seed' : 'number';
  if (type === 'boolean') return 'boolean';
  if (options?.length) return 'choice';
  if (type === 'string' || type === 'enum') return graphInput?.kind === 'text' ? 'text' : 'line';
  return 'file';
}

/** Returns the file id of `{"$file": …}`. */
function fileIdOf(raw) {
  const value = raw === null ? null : JSON.parse(raw);
  return typeof value?.$file === 'string' ? value.$file : undefined;
}

const TEXTS = ['line', 'text', 'file'];
/** Whether the graph's input is a value of this kind, not a link or a placeholder. */
function fits(kind, graphInput) {
  if (kind === 'number' || kind === 'seed') return graphInput.kind === 'number' || graphInput.kind === 'seed';
  if (kind === 'boolean') return graphInput.kind === 'boolean';
  return TEXTS.includes(graphInput.kind) || (kind === 'choice' && graphInput.kind !== 'link' && graphInput.kind !== 'json');
}

function valueOf(kind, raw) {
  if (kind === 'boolean') return raw === 'true';
  if (raw === null) return '';
  if (kind === 'number' || kind === 'seed') return raw.startsWith('"') ? '' : raw;
  const value = JSON.parse(raw);
  if (kind === 'file' && typeof value !== 'string') return '';
  return typeof value === 'string' ? value : kind === 'choice' ? value : String(value);
}
