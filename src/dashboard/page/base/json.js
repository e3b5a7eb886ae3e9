// Lossless JSON parser: every value keeps its position in the text, so that numbers can be copied digit by digit
// (2^64-1, 1e-7, 20.0). `JSON.parse` rounds numbers that do not fit into a double.

/** Deepest nesting; the server rejects deeper documents as well. */
const DEPTH_MAX = 100;

/** A syntax error: `code` names its message (`json.<code>`), `values` fill it in, `at` is the offset in the text. */
export class JsonError extends Error {
  constructor(code, at, values) {
    super(code);
    Object.assign(this, { code, at, values });
  }
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/** Whether `text` is a JSON number. */
export function isNumber(text) {
  NUMBER.lastIndex = 0;
  return NUMBER.exec(text)?.[0].length === text.length && text.length > 0;
}

/**
 * Parses a document into `{kind, start, end}`, with `members: [{key, at, value}]` (object), `items` (array), `value`
 * (string, boolean) or nothing else (number, null). The text of a value is `text.slice(start, end)`. Throws
 * `JsonError`.
 */
export function parseJson(text) {
  const reader = { text, at: 0 };
  skip(reader);
  const value = read(reader, 0);
  skip(reader);
  if (reader.at < text.length) throw new JsonError('trailing', reader.at);
  return value;
}

function match(reader, pattern) {
  pattern.lastIndex = reader.at;
  const found = pattern.exec(reader.text)?.[0];
  if (found !== undefined) reader.at += found.length;
  return found;
}

const skip = (reader) => match(reader, SPACE);

function expect(reader, character) {
  if (reader.text[reader.at] !== character) throw new JsonError('expected', reader.at, { character });
  reader.at += 1;
  skip(reader);
}

function read(reader, depth) {
  if (depth > DEPTH_MAX) throw new JsonError('nesting', reader.at);
  const start = reader.at;
  const first = reader.text[start];
  if (first === '{') return object(reader, depth, start);
  if (first === '[') return array(reader, depth, start);
  if (first === '"') return { kind: 'string', value: string(reader), start, end: reader.at };
  const word = match(reader, WORD);
  if (word === 'null') return { kind: 'null', start, end: reader.at };
  if (word) return { kind: 'boolean', value: word === 'true', start, end: reader.at };
  if (match(reader, NUMBER)) return { kind: 'number', start, end: reader.at };
  throw new JsonError('value', start);
}

function string(reader) {
  const start = reader.at;
  const raw = match(reader, STRING);
  if (raw === undefined) throw new JsonError('string', start);
  return JSON.parse(raw);
}

function object(reader, depth, start) {
  expect(reader, '{');
  const members = [];
  while (reader.text[reader.at] !== '}') {
    if (members.length) expect(reader, ',');
    const at = reader.at;
    if (reader.text[at] !== '"') throw new JsonError('name', at);
    const key = string(reader);
    skip(reader);
    expect(reader, ':');
    members.push({ key, at, value: read(reader, depth + 1) });
    skip(reader);
  }
  reader.at += 1;
  return { kind: 'object', members, start, end: reader.at };
}

function array(reader, depth, start) {
  expect(reader, '[');
  const items = [];
  while (reader.text[reader.at] !== ']') {
    if (items.length) expect(reader, ',');
    items.push(read(reader, depth + 1));
    skip(reader);
  }
  reader.at += 1;
  return { kind: 'array', items, start, end: reader.at };
}

/** Returns the member of an object, or `undefined`. */
export const member = (value, key) =>
  value?.kind === 'object' ? value.members.find((item) => item.key === key)?.value : undefined;

/** Escapes a name as one step of a JSON pointer. */
export const pointerStep = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** Returns the value at a JSON pointer, or its closest existing ancestor. */
export function resolvePointer(value, pointer) {
  let current = value;
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    const next = current?.kind === 'array' ? current.items[Number(name)] : member(current, name);
    if (!next) break;
    current = next;
  }
  return current;
}

/** `{line, column}` of an offset, counted from 1. */
export function position(text, at) {
  const before = text.slice(0, at).split('\n');
  return { line: before.length, column: before.at(-1).length + 1 };
}
