// Renders the Markdown subset of the API document: paragraphs, tables, lists, code blocks, `code` and **bold**. Text is
// never parsed as HTML.

import { h } from '../base/dom.js';

const CHINESE = /[\u3000-\u9fff\uff00-\uffef]/;
const ITEM = /^(\*|\d+\.) /;

/** Renders `code` and **bold** in a text. */
export function inline(text) {
  return String(text ?? '').split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (/^`.+`$/s.test(part)) return h('code', null, part.slice(1, -1));
    if (/^\*\*.+\*\*$/s.test(part)) return h('strong', null, part.slice(2, -2));
    return part;
  });
}

/** Joins the lines of a paragraph, without a space between Chinese characters. */
function join(lines) {
  return lines.reduce((text, line) => text + (CHINESE.test(text.at(-1)) || CHINESE.test(line[0]) ? '' : ' ') + line);
}

function table(lines) {
  const cells = (line) => line.replace(/^\| ?| ?\|$/g, '').split(/ ?\| /);
  const row = (line, tag) => h('tr', null, cells(line).map((cell) => h(tag, null, inline(cell.trim()))));
  return h('table', null, h('thead', null, row(lines[0], 'th')), h('tbody', null, lines.slice(2).map((line) => row(line, 'td'))));
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (ITEM.test(line)) items.push([line.replace(ITEM, '')]);
    else items.at(-1).push(line.trim());
  }
  return h(/^\d/.test(lines[0]) ? 'ol' : 'ul', null, items.map((item) => h('li', null, inline(join(item)))));
}

/** Renders a text as a list of elements. */
export function blocks(text) {
  const found = [];
  const parts = String(text ?? '').split(/^(```.*\n[^]*?^```)$/m);
  for (const part of parts) {
    if (part.startsWith('```')) {
      found.push(h('pre', { tabindex: '0' }, part.replace(/^```.*\n/, '').replace(/```$/, '')));
      continue;
    }
    for (const lines of part.split(/\n{2,}/).map((chunk) => chunk.split('\n').filter(Boolean))) {
      if (!lines.length) continue;
      if (lines[0].startsWith('|')) found.push(table(lines));
      else if (ITEM.test(lines[0])) found.push(list(lines));
      else found.push(h('p', null, inline(join(lines))));
    }
  }
  return found;
}
