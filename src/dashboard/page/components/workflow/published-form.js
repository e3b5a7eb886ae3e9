// A published workflow as the form of its params: declared there, bounded by what the instances have, begun with what its graph says. Pure.

import { member, parseJson } from '../../base/json.js';
import { readWorkflow } from './parse-workflow.js';

/** `{…, nodes, graphNodes}` as `submitForm` takes it, of the texts of `GET /api/workflows/:name` and of its schema. */
export function readNamed(text, schema) {
  const data = member(parseJson(text), 'data');
  const { name, version, latestVersion, versions, description, createdAt } = JSON.parse(text).data;
  const graph = member(data, 'workflow');
  const own = text.slice(graph.start, graph.end);
  const graphNodes = readWorkflow(own).nodes ?? [];
  const inputs = (member(data, 'params')?.members ?? []).map(({ key, value }) =>
    inputOf(key, value, schema.properties[key] ?? {}, graphNodes, text),
  );
  return {
    form: 'api',
    isNamed: true,
    text: JSON.stringify(version === latestVersion ? name : `${name}@${version}`),
    graph: own,
    graphNodes,
    nodes: [{ id: '', type: '', title: name, inputs }],
    facts: { name, version, latestVersion, versions, description, createdAt },
  };
}

function inputOf(name, declared, schema, nodes, text) {
  const type = member(declared, 'type')?.value ?? 'string';
  const wished = member(declared, 'default');
  const places = member(declared, 'target');
  const target = places?.kind === 'array' ? places.items[0]?.value : places?.value;
  const begun = inputAt(target, nodes);
  // What may be drawn is one of several forms.
  const isSeed = type === 'integer' && Array.isArray(schema.anyOf);
  const { minimum: min, maximum: max, enum: options } = isSeed ? schema.anyOf[0] : schema;
  const kind = kindOf(type, isSeed, begun, options);
  const said = { type: type === 'integer' ? 'INT' : 'FLOAT', min, max, options, tooltip: schema.description };
  const isOwn = wished && wished.kind !== 'null';
  const raw = isOwn ? text.slice(wished.start, wished.end) : begun && fits(kind, begun) ? begun.raw : null;
  return {
    name,
    kind,
    said,
    raw: raw ?? 'null',
    value: valueOf(kind, raw),
    fileId: kind === 'file' ? fileIn(raw) : undefined,
    isRandom: kind === 'seed' && /^("random"|-1)$/.test(raw ?? ''),
  };
}

/** What the graph has where a param leads to, when that is a plain path. */
function inputAt(target, nodes) {
  const at = target?.indexOf('.') ?? -1;
  const name = at < 0 ? '' : target.slice(at + 1).replace(/^inputs\./, '');
  return nodes.find((node) => node.id === target?.slice(0, at))?.inputs.find((input) => input.name === name);
}

function kindOf(type, isSeed, begun, options) {
  if (type === 'integer' || type === 'number') return isSeed ? 'seed' : 'number';
  if (type === 'boolean') return 'boolean';
  if (options?.length) return 'choice';
  if (type === 'string' || type === 'enum') return begun?.kind === 'text' ? 'text' : 'line';
  return 'file';
}

/** The file that `{"$file": …}` names. */
function fileIn(raw) {
  const value = raw === null ? null : JSON.parse(raw);
  return typeof value?.$file === 'string' ? value.$file : undefined;
}

const TEXTS = ['line', 'text', 'file'];
/** Whether what stands in the graph is a value of this kind: a link or a placeholder is none. */
function fits(kind, begun) {
  if (kind === 'number' || kind === 'seed') return begun.kind === 'number' || begun.kind === 'seed';
  if (kind === 'boolean') return begun.kind === 'boolean';
  return TEXTS.includes(begun.kind) || (kind === 'choice' && begun.kind !== 'link' && begun.kind !== 'json');
}

function valueOf(kind, raw) {
  if (kind === 'boolean') return raw === 'true';
  if (raw === null) return '';
  if (kind === 'number' || kind === 'seed') return raw.startsWith('"') ? '' : raw;
  const value = JSON.parse(raw);
  if (kind === 'file' && typeof value !== 'string') return '';
  return typeof value === 'string' ? value : kind === 'choice' ? value : String(value);
}
