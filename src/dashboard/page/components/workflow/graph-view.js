// A workflow as a drawing, and as a list for screen readers and for details.

import { h, setAttr, s } from '../../base/dom.js';
import { t } from '../../base/i18n.js';
import { levels } from './parse-workflow.js';

const [WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN] = [158, 44, 44, 16, 12];
/** Most nodes that are drawn; larger graphs are only listed. */
const DRAWN_MAX = 200;

/** `{element, update({current, failed})}`; `current` and `failed` are node ids. */
export function workflowGraph(nodes) {
  const shapes = new Map();
  const rows = new Map();
  const drawing =
    nodes.length <= DRAWN_MAX ? draw(nodes, shapes) : h('p', { class: 'faint' }, t('graph.tooLarge', { n: nodes.length }));
  const list = h(
    'ul',
    { class: 'nodes' },
    nodes.map((node) => listItem(node, nodes, rows)),
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
        for (const [id, shape] of map)
          setAttr(shape, 'data-state', id === failed ? 'failed' : id === current ? 'current' : null);
      }
    },
  };
}

function draw(nodes, shapes) {
  const positions = layout(nodes);
  const size = {
    x: Math.max(...[...positions.values()].map((position) => position.x)) + WIDTH + MARGIN,
    y: Math.max(...[...positions.values()].map((position) => position.y)) + HEIGHT + MARGIN,
  };
  const edges = nodes.flatMap((node) =>
    node.inputs
      .filter((item) => item.kind === 'link' && positions.has(item.link.node))
      .map((item) => edge(positions.get(item.link.node), positions.get(node.id))),
  );
  const boxes = nodes.map((node) => {
    const { x, y } = positions.get(node.id);
    const box = s(
      'g',
      { class: 'node', transform: `translate(${x} ${y})` },
      s('title', {}, `${node.title} · ${node.type} · #${node.id}`),
      s('rect', { width: WIDTH, height: HEIGHT, rx: 8 }),
      s('text', { x: 12, y: 19, class: 'node-title' }, truncate(node.title, 18)),
      s(
        'text',
        { x: 12, y: 34, class: 'node-type' },
        truncate(node.title === node.type ? `#${node.id}` : `#${node.id} ${node.type}`, 24),
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
      'aria-label': t('graph.label', { n: nodes.length }),
    },
    edges,
    boxes,
  );
  return h('div', { class: 'graph-window', tabindex: 0, role: 'region', 'aria-label': t('graph') }, picture);
}

/** Places nodes in columns by level, and near their sources within a column, so that few edges cross. */
function layout(nodes) {
  const level = levels(nodes);
  const columns = [];
  for (const node of nodes) (columns[level.get(node.id)] ??= []).push(node);
  const rank = new Map();
  const tallest = Math.max(...columns.map((column) => column.length));
  const positions = new Map();
  columns.forEach((column, at) => {
    const desiredRow = (node) => {
      const sourceRows = node.inputs
        .filter((item) => item.kind === 'link')
        .map((item) => rank.get(item.link.node))
        .filter((value) => value !== undefined);
      return sourceRows.length ? sourceRows.reduce((sum, value) => sum + value, 0) / sourceRows.length : 0;
    };
    if (at > 0) column.sort((a, b) => desiredRow(a) - desiredRow(b));
    const top = ((tallest - column.length) * (HEIGHT + GAP_Y)) / 2;
    column.forEach((node, row) => {
      rank.set(node.id, row + (tallest - column.length) / 2);
      positions.set(node.id, { x: MARGIN + at * (WIDTH + GAP_X), y: MARGIN + top + row * (HEIGHT + GAP_Y) });
    });
  });
  return positions;
}

function edge(from, to) {
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const bend = Math.max(24, (x2 - x1) / 2);
  return s('path', { class: 'edge', d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
}

/** Truncates text to `columns`; wide (CJK) characters take two. */
function truncate(text, columns) {
  let used = 0;
  for (const [at, letter] of [...text].entries()) {
    used += letter.codePointAt(0) > 0x2e7f ? 2 : 1;
    if (used > columns) return `${[...text].slice(0, at).join('')}…`;
  }
  return text;
}

function listItem(node, nodes, rows) {
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
