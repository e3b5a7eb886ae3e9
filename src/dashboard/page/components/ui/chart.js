// A small chart of the last hour: one line over a soft ground, a cursor that tells the value under the pointer.

import { freshId, h, mark, put, s, say } from '../../base/dom.js';
import { clock } from '../../base/format.js';
import { t } from '../../base/i18n.js';
import { isNext } from '../../live/history.js';

const WIDTH = 600;
const HEIGHT = 120;
/** Above the highest value: its figure stands there. */
const TOP = 18;
const MINUTE = 60_000;
/** The window grows with what is known: an hour that is mostly empty tells nothing. */
const WINDOWS = [1, 5, 15, 30, 60].map((minutes) => minutes * MINUTE);

/**
 * `of(point)` is the value, `shown(value)` its words, `kind` the colour. `update(points, present)` redraws; a few hundred points take
 * well under a millisecond.
 */
export function chart({ title, of, shown, kind, floor = 1 }) {
  const clip = freshId('fade');
  const area = s('path', { class: 'chart-area', fill: `url(#${clip})` });
  const lineShape = s('path', { class: 'chart-line', fill: 'none' });
  // A line of no length with a round end stays round, however the picture is stretched.
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
  const value = h('strong', { class: 'figure' });
  const top = h('span', { class: 'chart-top' });
  const begin = h('span');
  const moment = h('span', { class: 'faint' });
  const element = h(
    'figure',
    { class: 'chart', data: { kind } },
    h('figcaption', {}, h('span', {}, title), value, moment),
    h('div', { class: 'chart-plot' }, picture, top),
    h('div', { class: 'chart-axis faint', 'aria-hidden': 'true' }, begin, h('span', {}, t('chart.now'))),
  );
  let drawn = [];

  function update(points, present) {
    const end = Date.now();
    const span = WINDOWS.find((size) => points.length === 0 || end - points[0].at <= size) ?? WINDOWS.at(-1);
    const all = present ? [...points, present] : points;
    const shownPoints = all.filter((item) => item.at >= end - span);
    const most = Math.max(0, ...shownPoints.map(of));
    const highest = nice(Math.max(floor, most));
    drawn = shownPoints.map((item) => ({
      point: item,
      x: WIDTH * (1 - (end - item.at) / span),
      y: heightOf(of(item) / highest),
    }));
    const runs = split(drawn).map((run) => ({ from: run[0].x.toFixed(1), to: run.at(-1).x.toFixed(1), path: pathOf(run) }));
    mark(lineShape, 'd', runs.map(({ path }) => `M${path}`).join(''));
    mark(area, 'd', runs.map(({ from, to, path }) => `M${from} ${HEIGHT}L${path}L${to} ${HEIGHT}Z`).join(''));
    const last = all.at(-1);
    const words = last ? shown(of(last)) : '–';
    say(value, words);
    say(top, shown(highest));
    say(begin, t('chart.ago', { n: span / MINUTE }));
    mark(picture, 'aria-label', `${title}: ${words}. ${t('chart.highest', { value: shown(most) })}`);
  }

  function point(event) {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    const near = drawn.reduce((best, item) => (!best || Math.abs(item.x - x) < Math.abs(best.x - x) ? item : best), null);
    if (!near) return;
    mark(cursor, 'visibility', null);
    mark(cursor, 'x1', near.x);
    mark(cursor, 'x2', near.x);
    mark(dot, 'd', `M${near.x} ${near.y}h0`);
    put(moment, `${shown(of(near.point))} · ${clock(near.point.at)}`);
  }

  picture.addEventListener('pointermove', point);
  picture.addEventListener('pointerleave', () => {
    mark(cursor, 'visibility', 'hidden');
    mark(dot, 'd', null);
    put(moment);
  });
  return { element, update };
}

/** Where a part of the highest value is. */
const heightOf = (part) => HEIGHT - (HEIGHT - TOP) * part - 1;

const pathOf = (run) => run.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L');

/** Runs of points without a gap between them. */
function split(items) {
  const runs = [];
  items.forEach((item, at) => {
    if (at && isNext(items[at - 1].point, item.point)) runs.at(-1).push(item);
    else runs.push([item]);
  });
  return runs;
}

/** The next 1, 2, 5 × 10ⁿ. */
function nice(value) {
  const scale = 10 ** Math.floor(Math.log10(value));
  return scale * [1, 2, 5, 10].find((step) => step * scale >= value);
}
