// The page at /docs: shows /api/openapi.json. It needs no login and nothing from elsewhere.

import { h, put } from '../base/dom.js';
import { example, schemaRows, typeOf } from './schema.js';

const root = document.getElementById('docs');
const VERBS = ['get', 'post', 'put', 'delete'];

/** `{path, verb, operation}` of a tag, in the order of the document. */
function operationsOf(api, tag) {
  return Object.entries(api.paths).flatMap(([path, item]) =>
    VERBS.filter((verb) => item[verb]?.tags?.includes(tag)).map((verb) => ({ path, verb, operation: item[verb] })));
}

/** Text with `code` in it. */
function prose(text) {
  return String(text ?? '').split('`').map((part, index) => (index % 2 ? h('code', null, part) : part));
}

function paragraphs(text) {
  return String(text ?? '').split('\n\n').filter(Boolean).map((part) => h('p', null, prose(part)));
}

function verb(name) {
  return h('span', { class: 'verb', data: { verb: name } }, name.toUpperCase());
}

function parameters(api, operation) {
  if (!operation.parameters?.length) return null;
  const row = (one) => h('tr', null,
    h('td', { class: one.required ? 'must' : null }, one.name),
    h('td', null, `${one.in} · ${typeOf(api, one.schema)}`),
    h('td', null, prose(one.description)));
  return h('div', null, h('h3', null, 'Parameters'), h('table', null, operation.parameters.map(row)));
}

function json(value) {
  return h('pre', { tabindex: '0' }, JSON.stringify(value, null, 2));
}

function body(api, operation) {
  const entries = Object.entries(operation.requestBody?.content ?? {});
  return entries.map(([type, content]) => h('div', null,
    h('h3', null, 'Body ', h('span', { class: 'faint' }, type)),
    h('table', null, schemaRows(api, content.schema)),
    Object.entries(content.examples ?? {}).map(([name, one]) => h('details', { open: name === Object.keys(content.examples)[0] },
      h('summary', null, `Example: ${name}`), json(one.value)))));
}

/** The command that does it. */
function command(path, name, operation) {
  const parts = [`curl -X ${name.toUpperCase()} "${location.origin}${path}"`];
  if (!operation.security) parts.push('-H "Authorization: Bearer $TOKEN"');
  const type = Object.keys(operation.requestBody?.content ?? {})[0];
  if (type === 'application/json') {
    const examples = Object.values(operation.requestBody.content[type].examples ?? {});
    const text = JSON.stringify(examples[0]?.value ?? {}).replaceAll("'", "'\\''");
    parts.push('-H "Content-Type: application/json"', `-d '${text}'`);
  } else if (type) parts.push('-F file=@image.png');
  return parts.join(' \\\n  ');
}

function answers(api, operation) {
  const one = ([status, response]) => {
    const content = Object.entries(response.content ?? {})[0];
    const found = content && example(content[1]);
    return h('details', { open: false },
      h('summary', null, h('span', { class: 'status', data: { kind: status[0] } }, status), ' ',
        h('span', { class: 'faint' }, Object.keys(content?.[1].examples ?? {}).join(', ') || response.description)),
      h('div', { class: 'deep' },
        h('div', { class: 'words' }, paragraphs(response.description)),
        content && status[0] === '2' && h('table', null, schemaRows(api, content[1].schema)),
        found !== undefined && json(found)));
  };
  return h('div', null, h('h3', null, 'Answers'), Object.entries(operation.responses).map(one));
}

function card(api, { path, verb: name, operation }) {
  const element = h('details', { class: 'operation panel', id: operation.operationId },
    h('summary', null, verb(name), h('code', null, path), h('span', { class: 'sub' }, prose(operation.summary))));
  // What is closed is not built: the whole document has thousands of rows.
  element.addEventListener('toggle', () => {
    if (!element.open || element.children.length > 1) return;
    element.append(h('div', { class: 'body' },
      paragraphs(operation.description),
      operation.security && h('p', { class: 'sub' }, 'No login needed.'),
      parameters(api, operation),
      body(api, operation),
      h('div', null, h('h3', null, 'Command'), h('pre', { tabindex: '0' }, command(path, name, operation))),
      answers(api, operation)));
  });
  return element;
}

function show(api) {
  const tags = api.tags.map((tag) => ({ ...tag, list: operationsOf(api, tag.name) })).filter((tag) => tag.list.length);
  const link = ({ path, verb: name, operation }) => h('a', { href: `#${operation.operationId}` }, verb(name), h('span', null, path));
  const section = (tag) => h('section', { 'aria-label': tag.name },
    h('h2', null, tag.name, h('span', { class: 'faint' }, tag.description)), tag.list.map((one) => card(api, one)));
  put(root, h('div', { class: 'docs' },
    h('aside', { class: 'side' },
      h('a', { class: 'brand', href: './' }, h('div', null, h('strong', null, 'shuzhiren'), h('span', { class: 'faint' }, `API ${api.info.version}`))),
      h('nav', { 'aria-label': 'Operations' }, tags.map((tag) => [h('h2', null, tag.name), tag.list.map(link)]))),
    h('main', null,
      h('div', { class: 'head' }, h('h1', null, 'API'),
        h('a', { class: 'button', href: 'api/openapi.json' }, `OpenAPI ${api.openapi}`)),
      h('div', { class: 'lead stack' }, paragraphs(api.info.description)),
      tags.map(section))));
  openNamed();
}

/** Opens the operation that the address names. */
function openNamed() {
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named) return;
  named.open = true;
  named.scrollIntoView();
}

addEventListener('hashchange', openNamed);
try {
  const response = await fetch('api/openapi.json');
  if (!response.ok) throw new Error(`the server said ${response.status}`);
  show(await response.json());
} catch (error) {
  put(root, h('p', { class: 'noscript', role: 'alert' }, `The document could not be read: ${error.message}`));
}
