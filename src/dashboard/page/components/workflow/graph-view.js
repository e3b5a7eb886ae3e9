// A workflow as a drawing and as a list: the drawing for the eye, the list for reading and for screen readers.

import { h, mark, s } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { levels } from './parse-workflow.js';

const [WIDE, HIGH, GAP_X, GAP_Y, EDGE] = [158, 44, 44, 16, 12];
/** Above this a drawing is a carpet; the list remains. */
const DRAWN_MAX = 200;

/** `{element, update({current, failed})}` */
export function workflowGraph(nodes) {
  const shapes = new Map();
  const rows = new Map();
  const drawing =
    nodes.length <= DRAWN_MAX ? draw(nodes, shapes) : h('p', { class: 'faint' }, t('graph.large', { n: nodes.length }));
  const list = h(
    'ul',
    { class: 'nodes' },
    nodes.map((node) => listed(node, nodes, rows)),
  );
  return {
    element: h(
      'div',
      { class: 'graph' },
      drawing,
      h('details', {}, h('summary', {}, t('graph.list', { n: nodes.length })), list),
    ),
    update({ current, failed }) {
      for (const map of [shapes, rows]) {
        for (const [id, shape] of map) mark(shape, 'data-state', id === failed ? 'failed' : id === current ? 'current' : null);
      }
    },
  };
}

function draw(nodes, shapes) {
  const spots = layout(nodes);
  const size = {
    x: Math.max(...[...spots.values()].map((spot) => spot.x)) + WIDE + EDGE,
    y: Math.max(...[...spots.values()].map((spot) => spot.y)) + HIGH + EDGE,
  };
  const edges = nodes.flatMap((node) =>
    node.inputs
      .filter((item) => item.kind === 'link' && spots.has(item.link.node))
      .map((item) => edge(spots.get(item.link.node), spots.get(node.id))),
  );
  const boxes = nodes.map((node) => {
    const { x, y } = spots.get(node.id);
    const box = s(
      'g',
      { class: 'node', transform: `translate(${x} ${y})` },
      s('title', {}, `${node.title} · ${node.type} · #${node.id}`),
      s('rect', { width: WIDE, height: HIGH, rx: 8 }),
      s('text', { x: 12, y: 19, class: 'node-title' }, cut(node.title, 18)),
      s(
        'text',
        { x: 12, y: 34, class: 'node-type' },
        cut(node.title === node.type ? `#${node.id}` : `#${node.id} ${node.type}`, 24),
      ),
    );
    shapes.set(node.id, box);
    return box;
  });
  const picture = s(
    'svg',
    {
      viewBox: `0 0 ${size.x} ${size.y}`,
      width: size.x,
      height: size.y,
      role: 'img',
      'aria-label': t('graph.words', { n: nodes.length }),
    },
    edges,
    boxes,
  );
  return h('div', { class: 'graph-window', tabindex: 0, role: 'region', 'aria-label': t('graph') }, picture);
}

/** Columns by level; within a column nodes stand near what they take from, which keeps most edges from crossing. */
function layout(nodes) {
  const level = levels(nodes);
  const columns = [];
  for (const node of nodes) (columns[level.get(node.id)] ??= []).push(node);
  const rank = new Map();
  const tallest = Math.max(...columns.map((column) => column.length));
  const spots = new Map();
  columns.forEach((column, at) => {
    const wish = (node) => {
      const above = node.inputs
        .filter((item) => item.kind === 'link')
        .map((item) => rank.get(item.link.node))
        .filter((value) => value !== undefined);
      return above.length ? above.reduce((sum, value) => sum + value, 0) / above.length : 0;
    };
    if (at > 0) column.sort((a, b) => wish(a) - wish(b));
    const top = ((tallest - column.length) * (HIGH + GAP_Y)) / 2;
    column.forEach((node, row) => {
      rank.set(node.id, row + (tallest - column.length) / 2);
      spots.set(node.id, { x: EDGE + at * (WIDE + GAP_X), y: EDGE + top + row * (HIGH + GAP_Y) });
    });
  });
  return spots;
}

function edge(from, to) {
  const [x1, y1, x2, y2] = [from.x + WIDE, from.y + HIGH / 2, to.x, to.y + HIGH / 2];
  const bend = Math.max(24, (x2 - x1) / 2);
  return s('path', { class: 'edge', d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
}

/** Wide letters take two places. */
function cut(text, places) {
  let used = 0;
  for (const [at, letter] of [...text].entries()) {
    used += letter.codePointAt(0) > 0x2e7f ? 2 : 1;
    if (used > places) return `${[...text].slice(0, at).join('')}…`;
  }
  return text;
}

function listed(node, nodes, rows) {
  const titles = new Map(nodes.map((item) => [item.id, item.title]));
  const row = h(
    'li',
    {},
    h(
      'div',
      { class: 'node-head' },
      h('strong', {}, node.title),
      h('span', { class: 'faint' }, `${node.title === node.type ? '' : `${node.type} · `}#${node.id}`),
    ),
    node.inputs.length > 0 &&
      h(
        'dl',
        {},
        node.inputs.map((item) => [
          h('dt', {}, item.name),
          h(
            'dd',
            { class: item.kind === 'link' ? 'faint' : 'mono' },
            item.kind === 'link'
              ? `← ${titles.get(item.link.node)} #${item.link.node}`
              : item.value === undefined || item.value === ''
                ? item.raw
                : String(item.value),
          ),
        ]),
      ),
  );
  rows.set(node.id, row);
  return row;
}
