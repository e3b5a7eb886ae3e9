// The last hour of the overview, made from what is heard while the page is open: the server keeps no such thing.

import { recall, remember } from '../base/browser-storage.js';
import { line } from './socket.js';
import { changed } from './topics.js';

const STEP_MS = 5_000;
const SPAN_MS = 3_600_000;

/** `{at, perMinute, oldestMs, pending, running}`, oldest first; a gap is a time without a connection. */
export const points = load();
let last = null;
let heardAt = 0;

function load() {
  try {
    const kept = JSON.parse(recall('history', 'sessionStorage'));
    const from = Date.now() - SPAN_MS;
    return Array.isArray(kept) ? kept.filter((point) => point.at > from && point.at <= Date.now()) : [];
  } catch {
    return [];
  }
}

/** The overview as just heard. */
export function sample(overview) {
  const isFirst = last === null;
  last = overview;
  heardAt = Date.now();
  if (isFirst || points.length === 0) take();
}

function take() {
  const point = present();
  if (!point) return;
  points.push(point);
  while (points.length && points[0].at < Date.now() - SPAN_MS) points.shift();
  changed('history');
}

/**
 * What was heard last, as a point of now. Silence means that nothing changed, as long as the line is alive; without one, what
 * was asked for a moment ago counts, and then nothing: `null`.
 */
export function present() {
  if (!last || (line.state !== 'live' && Date.now() - heardAt > 2 * STEP_MS)) return null;
  return {
    at: Date.now(),
    perMinute: last.throughputPerMinute,
    oldestMs: last.oldestWaitingMs ?? 0,
    pending: last.pendingTasks,
    running: last.runningTasks,
  };
}

setInterval(take, STEP_MS);
addEventListener('pagehide', () => remember('history', JSON.stringify(points), 'sessionStorage'));

/** Whether two points belong to one line. */
export const isNext = (before, after) => after.at - before.at < 4 * STEP_MS;
