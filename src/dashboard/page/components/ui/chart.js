// Line chart of the last hour, with a cursor that shows the value under the pointer.

import { freshId, h, setAttr, setChildren, s, setText } from '../../base/dom.js';
import { timeOfDay } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { isNext } from '../../live/history.js';

const WIDTH = 600;
const HEIGHT = 120;
/** Space above the highest value, for its label. */
const TOP = 18;
const MINUTE = 60_000;
/** Time ranges of the axis. The smallest one that holds all points is used, so that a new chart is not mostly empty. */
const RANGES = [1, 5, 15, 30, 60].map((minutes) => minutes * MINUTE);

/**
 * Returns `{element, update(points, current)}`. `valueOf(point)` reads the value, `format(value)` formats it, `kind` is
 * the colour, `floor` the lowest maximum of the axis. A redraw of a few hundred points takes well under a millisecond.
 */
export function chart({ title, valueOf, format, kind, floor = 1 }) {
  const clip = freshId('fade');
  const area = s('path', { class: 'chart-area', fill: `url(#${clip})` });
  const lineShape = s('path', { class: 'chart-line', fill: 'none' });
  // A zero-length line with round ends stays round when the drawing is stretched.
  const dot = s('path', { class: 'chart-dot' });
  const cursor = s('line', { class: 'chart-cursor', y1: 0, y2: HEIGHT, visibility: 'hidden' });
  const stops = [s('stop', { offset: '0', class: 'chart-stop-top' }), s('stop', { offset: '1', class: 'chart-stop-end' })];
  const picture = s(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
    s('defs', {}, s('linearGradient', { id: clip, x1: 0, y1: 0, x2: 0, y2: 1 }, stops)),
    [0.25, 0.5, 0.75, 1].map((part) =>
      s('line', { class: 'chart-grid', x1: 0, x2: WIDTH, y1: heightOf(part), y2: heightOf(part) }),
    ),
    area,
    lineShape,
    cursor,
    dot,
  );
  const valueLabel = h('strong', { class: 'figure' });
  const top = h('span', { class: 'chart-top' });
  const begin = h('span');
  const moment = h('span', { class: 'faint' });
  const element = h(
    'figure',
    { class: 'chart', data: { kind } },
    h('figcaption', {}, h('span', {}, title), valueLabel, moment),
    h('div', { class: 'chart-plot' }, picture, top),
    h('div', { class: 'chart-axis faint', 'aria-hidden': 'true' }, begin, h('span', {}, t('chart.now'))),
  );
  let drawn = [];

  function update(points, current) {
    const end = Date.now();
    const range = RANGES.find((size) => points.length === 0 || end - points[0].at <= size) ?? RANGES.at(-1);
    const all = current ? [...points, current] : points;
    const shownPoints = all.filter((item) => item.at >= end - range);
    const most = Math.max(0, ...shownPoints.map(valueOf));
    const highest = roundUp(Math.max(floor, most));
    drawn = shownPoints.map((item) => ({
      point: item,
      x: WIDTH * (1 - (end - item.at) / range),
      y: heightOf(valueOf(item) / highest),
    }));
    const runs = split(drawn).map((run) => ({ from: run[0].x.toFixed(1), to: run.at(-1).x.toFixed(1), path: pathOf(run) }));
    setAttr(lineShape, 'd', runs.map(({ path }) => `M${path}`).join(''));
    setAttr(area, 'd', runs.map(({ from, to, path }) => `M${from} ${HEIGHT}L${path}L${to} ${HEIGHT}Z`).join(''));
    const last = all.at(-1);
    const value = last ? format(valueOf(last)) : '–';
    setText(valueLabel, value);
    setText(top, format(highest));
    setText(begin, t('chart.ago', { n: range / MINUTE }));
    setAttr(picture, 'aria-label', `${title}: ${value}. ${t('chart.max', { value: format(most) })}`);
  }

  function showPoint(event) {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const near = drawn.reduce((best, item) => (!best || Math.abs(item.x - x) < Math.abs(best.x - x) ? item : best), null);
    if (!near) return;
    setAttr(cursor, 'visibility', null);
    setAttr(cursor, 'x1', near.x);
    setAttr(cursor, 'x2', near.x);
    setAttr(dot, 'd', `M${near.x} ${near.y}h0`);
    setChildren(moment, `${format(valueOf(near.point))} · ${timeOfDay(near.point.at)}`);
  }

  picture.addEventListener('pointermove', showPoint);
  picture.addEventListener('pointerleave', () => {
    setAttr(cursor, 'visibility', 'hidden');
    setAttr(dot, 'd', null);
    setChildren(moment);
  });
  return { element, update };
}

/** Returns the y coordinate of a fraction of the axis maximum. */
const heightOf = (part) => HEIGHT - (HEIGHT - TOP) * part - 1;

const pathOf = (run) => run.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L');

/** Splits points into runs without gaps. */
function split(items) {
  const runs = [];
  items.forEach((item, at) => {
    if (at && isNext(items[at - 1].point, item.point)) runs.at(-1).push(item);
    else runs.push([item]);
  });
  return runs;
}

/** Rounds up to 1, 2, 5 × 10ⁿ. */
function roundUp(value) {
  const scale = 10 ** Math.floor(Math.log10(value));
  return scale * [1, 2, 5, 10].find((step) => step * scale >= value);
}
