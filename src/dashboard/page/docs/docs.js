// API reference at /docs, rendered from /api/openapi.json. Needs no login and loads nothing from other origins.

import { h, setChildren } from '../base/dom.js';
import { readStorage, writeStorage } from '../base/browser-storage.js';
import { blocks, inline } from './markdown.js';
import { example, schemaRows, typeOf } from './schema.js';

const root = document.getElementById('docs');
const VERBS = ['get', 'post', 'put', 'delete'];
/** Guides exist in both languages; the reference is in English only. */
let isChinese = (readStorage('language') ?? navigator.language ?? '').startsWith('zh');

/** Returns `{path, verb, operation}` for each operation of a tag, in the order of the document. */
function operationsOf(api, tag) {
  return Object.entries(api.paths).flatMap(([path, item]) =>
    VERBS.filter((verb) => item[verb]?.tags?.includes(tag)).map((verb) => ({ path, verb, operation: item[verb] })));
}

function verb(name) {
  return h('span', { class: 'verb', data: { verb: name } }, name.toUpperCase());
}

function parameters(api, operation) {
  if (!operation.parameters?.length) return null;
  const row = (one) => h('tr', null,
    h('td', { class: one.required ? 'must' : null }, one.name),
    h('td', null, `${one.in} · ${typeOf(api, one.schema)}`),
    h('td', null, inline(one.description)));
  return h('div', null, h('h3', null, 'Parameters'), h('table', null, operation.parameters.map(row)));
}

function jsonBlock(value) {
  return h('pre', { tabindex: '0' }, JSON.stringify(value, null, 2));
}

function body(api, operation) {
  const entries = Object.entries(operation.requestBody?.content ?? {});
  return entries.map(([type, content]) => h('div', null,
    h('h3', null, 'Request body ', h('span', { class: 'faint' }, type)),
    h('table', null, schemaRows(api, content.schema)),
    Object.entries(content.examples ?? {}).map(([name, one]) => h('details', { open: name === Object.keys(content.examples)[0] },
      h('summary', null, `Example: ${name}`), jsonBlock(one.value)))));
}

/** Returns the curl command of an operation. */
function curlCommand(path, name, operation) {
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

function responses(api, operation) {
  const one = ([status, response]) => {
    const content = Object.entries(response.content ?? {})[0];
    const found = content && example(content[1]);
    return h('details', { open: false },
      h('summary', null, h('span', { class: 'status', data: { kind: status[0] } }, status), ' ',
        h('span', { class: 'faint' }, Object.keys(content?.[1].examples ?? {}).join(', ') || response.description)),
      h('div', { class: 'deep' },
        h('div', { class: 'words' }, blocks(response.description)),
        content && status[0] === '2' && h('table', null, schemaRows(api, content[1].schema)),
        found !== undefined && jsonBlock(found)));
  };
  return h('div', null, h('h3', null, 'Responses'), Object.entries(operation.responses).map(one));
}

function card(api, { path, verb: name, operation }) {
  const element = h('details', { class: 'operation panel', id: operation.operationId },
    h('summary', null, verb(name), h('code', null, path), h('span', { class: 'sub' }, inline(operation.summary))));
  // Build the content on opening: the whole document has thousands of rows.
  element.addEventListener('toggle', () => {
    if (!element.open || element.children.length > 1) return;
    element.append(h('div', { class: 'body' },
      blocks(operation.description),
      operation.security && h('p', { class: 'sub' }, 'No authentication required.'),
      parameters(api, operation),
      body(api, operation),
      h('div', null, h('h3', null, 'curl'), h('pre', { tabindex: '0' }, curlCommand(path, name, operation))),
      responses(api, operation)));
  });
  return element;
}

/** Splits the description of a tag into its first paragraph and the guide that follows. */
function splitGuide(tag) {
  const text = (isChinese && tag['x-description-zh-CN']) || tag.description;
  const [first, ...rest] = text.split('\n\n');
  return { first, rest: rest.join('\n\n') };
}

function section(api, tag) {
  const { first, rest } = splitGuide(tag);
  const lang = isChinese ? 'zh-CN' : 'en';
  return h('section', { 'aria-label': tag.name, id: tag.name },
    h('h2', null, tag.name, h('span', { class: 'faint', lang }, inline(first))),
    rest && h('details', { class: 'guide panel', open: !tag.list.length },
      h('summary', null, isChinese ? '指南' : 'Guide'), h('div', { class: 'prose', lang }, blocks(rest))),
    tag.list.map((one) => card(api, one)));
}

function show(api) {
  const tags = api.tags.map((tag) => ({ ...tag, list: operationsOf(api, tag.name) }));
  const link = ({ path, verb: name, operation }) => h('a', { href: `#${operation.operationId}` }, verb(name), h('span', null, path));
  const switchLanguage = () => {
    isChinese = !isChinese;
    writeStorage('language', isChinese ? 'zh' : 'en');
    show(api);
  };
  setChildren(root, h('div', { class: 'docs' },
    h('aside', { class: 'side' },
      h('a', { class: 'brand', href: './' }, h('div', null, h('strong', null, 'shuzhiren'), h('span', { class: 'faint' }, `API ${api.info.version}`))),
      h('nav', { 'aria-label': 'Operations' },
        tags.map((tag) => [h('h2', null, h('a', { href: `#${tag.name}` }, tag.name)), tag.list.map(link)]))),
    h('main', null,
      h('div', { class: 'head' }, h('h1', null, 'API'),
        h('button', { type: 'button', lang: isChinese ? 'en' : 'zh-CN', onclick: switchLanguage, data: { test: 'language' } }, isChinese ? 'English' : '中文'),
        h('a', { class: 'button', href: 'api/openapi.json' }, `OpenAPI ${api.openapi}`)),
      h('div', { class: 'lead stack' }, blocks(api.info.description)),
      tags.map((tag) => section(api, tag)))));
  openTarget();
}

/** Opens the operation or guide that the hash names. */
function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const details = target.localName === 'details' ? target : target.querySelector('.guide');
  if (details) details.open = true;
  target.scrollIntoView();
}

addEventListener('hashchange', openTarget);
try {
  const response = await fetch('api/openapi.json');
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  show(await response.json());
} catch (error) {
  setChildren(root, h('p', { class: 'noscript', role: 'alert' }, `Failed to load the API document: ${error.message}`));
}
