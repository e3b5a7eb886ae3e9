// Parses a workflow into nodes, their inputs with the exact text of each value, and links. Pure.

import { JsonError, member, parseJson } from '../../base/json.js';

const FILE_NAME = /\.(png|jpe?g|webp|gif|bmp|tiff?|mp4|webm|mov|mkv|avi|mp3|wav|flac|ogg|opus|m4a|safetensors|latent)$/i;
const MEDIA_NAME = /\.(png|jpe?g|webp|gif|bmp|tiff?|mp4|webm|mov|mkv|avi|mp3|wav|flac|ogg|opus|m4a)$/i;
const LOADER = /^(Load(Image|Audio|Video|Mask)|VHS_Load)/;
const FILE_INPUT = /^(image|mask|audio|video|file)$/i;
const SEED = /^(seed|noise_seed|rand_seed)$/;
const LONG = /^(text|prompt|negative|positive|string|caption)|_(text|prompt)$/i;

/**
 * Returns `{form: 'api', text, nodes, params?}`, `{form: 'ui', text, params?}` (the editor's format, converted by the
 * server), or `{form: 'none'|'broken', error?}`. Accepts a graph, a ComfyUI request (`{prompt: …}`) or a submit body
 * (`{workflow, params}`); `text` is the exact text of the graph.
 */
export function parseWorkflow(text) {
  let root;
  try {
    root = parseJson(text);
  } catch (error) {
    if (error instanceof JsonError) return { form: 'broken', error };
    throw error;
  }
  if (root.kind !== 'object') return { form: 'none' };
  if (member(root, 'nodes')?.kind === 'array' && member(root, 'links'))
    return { form: 'ui', text: text.slice(root.start, root.end), params: null };
  for (const key of ['workflow', 'prompt']) {
    const inner = member(root, key);
    if (inner?.kind !== 'object') continue;
    if (member(inner, 'nodes')?.kind === 'array')
      return { form: 'ui', text: text.slice(inner.start, inner.end), params: paramsOf(root, text) };
    if (isGraph(inner)) return { ...graph(inner, text), params: paramsOf(root, text) };
  }
  return isGraph(root) ? graph(root, text) : { form: 'none' };
}

const isGraph = (value) =>
  value.members.length > 0 && value.members.every(({ value: node }) => member(node, 'class_type')?.kind === 'string');

function paramsOf(root, text) {
  const params = member(root, 'params');
  return params?.kind === 'object' && params.members.length ? text.slice(params.start, params.end) : null;
}

function graph(value, text) {
  const ids = new Set(value.members.map(({ key }) => key));
  const nodes = value.members.map(({ key, value: node }) => {
    const type = member(node, 'class_type').value;
    const title = member(member(node, '_meta'), 'title');
    const inputs = member(node, 'inputs');
    return {
      id: key,
      type,
      title: title?.kind === 'string' && title.value ? title.value : type,
      inputs: inputs?.kind === 'object' ? inputs.members.map((item) => input(item, type, ids, text)) : [],
    };
  });
  return { form: 'api', text: text.slice(value.start, value.end), nodes };
}

/** Returns `{name, kind, raw, value?, link?}`; `kind` is link, file, seed, text, line, number, boolean or json. */
function input({ key, value }, type, ids, text) {
  const raw = text.slice(value.start, value.end);
  const base = { name: key, raw };
  if (
    value.kind === 'array' &&
    value.items.length === 2 &&
    value.items[0].kind === 'string' &&
    value.items[1].kind === 'number' &&
    ids.has(value.items[0].value)
  ) {
    return {
      ...base,
      kind: 'link',
      link: { node: value.items[0].value, slot: Number(text.slice(value.items[1].start, value.items[1].end)) },
    };
  }
  const file = member(value, '$file');
  if (file?.kind === 'string') return { ...base, kind: 'file', value: '', fileId: file.value };
  if (value.kind === 'string') return { ...base, kind: textKind(key, value.value, type), value: value.value };
  if (value.kind === 'number') return { ...base, kind: SEED.test(key) ? 'seed' : 'number', value: raw };
  if (value.kind === 'boolean') return { ...base, kind: 'boolean', value: value.value };
  return { ...base, kind: 'json', value: raw };
}

function textKind(name, value, type) {
  const isLoader = LOADER.test(type) && FILE_INPUT.test(name);
  const isMedia = MEDIA_NAME.test(value) && FILE_INPUT.test(name) && !/^Save/.test(type);
  if (isLoader || isMedia) return 'file';
  const isName = FILE_NAME.test(value) || /_name$/.test(name);
  return !isName && (LONG.test(name) || /[\r\n]/.test(value) || value.length > 60) ? 'text' : 'line';
}

/** Returns the column of each node: right of all its sources. Cycles, which the server rejects, are cut. */
export function levels(nodes) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const level = new Map();
  const walk = (node, path) => {
    if (level.has(node.id)) return level.get(node.id);
    if (path.has(node.id)) return 0;
    path.add(node.id);
    const sources = node.inputs.filter((item) => item.kind === 'link').map((item) => byId.get(item.link.node));
    const depth = Math.max(-1, ...sources.filter(Boolean).map((source) => walk(source, path))) + 1;
    path.delete(node.id);
    level.set(node.id, depth);
    return depth;
  };
  for (const node of nodes) walk(node, new Set());
  return level;
}
