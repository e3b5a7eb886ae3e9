// History of the overview for the last hour, sampled while the page is open. The server does not keep one.

import { readStorage, writeStorage } from '../base/browser-storage.js';
import { connection } from './socket.js';
import { publish } from './pub-sub.js';

const STEP_MS = 5_000;
const SPAN_MS = 3_600_000;

/** Samples `{at, perMinute, oldestMs, pending, running}`, oldest first. A gap means that there was no connection. */
export const points = load();
let last = null;
let receivedAt = 0;

function load() {
  try {
    const stored = JSON.parse(readStorage('history', 'sessionStorage'));
    const from = Date.now() - SPAN_MS;
    return Array.isArray(stored) ? stored.filter((point) => point.at > from && point.at <= Date.now()) : [];
  } catch {
    return [];
  }
}

/** Records a new overview. */
export function recordOverview(overview) {
  const isFirst = last === null;
  last = overview;
  receivedAt = Date.now();
  if (isFirst || points.length === 0) addPoint();
}

function addPoint() {
  const point = currentPoint();
  if (!point) return;
  points.push(point);
  while (points.length && points[0].at < Date.now() - SPAN_MS) points.shift();
  publish('history');
}

/**
 * Returns the last overview as a sample of now, or `null` if it is too old. While the socket is live, no message means
 * no change; without a socket, a polled overview is valid for two steps.
 */
export function currentPoint() {
  if (!last || (connection.state !== 'live' && Date.now() - receivedAt > 2 * STEP_MS)) return null;
  return {
    at: Date.now(),
    perMinute: last.throughputPerMinute,
    oldestMs: last.oldestWaitingMs ?? 0,
    pending: last.pendingTasks,
    running: last.runningTasks,
  };
}

setInterval(addPoint, STEP_MS);
addEventListener('pagehide', () => writeStorage('history', JSON.stringify(points), 'sessionStorage'));

/** Whether two consecutive samples have no gap between them. */
export const isNext = (before, after) => after.at - before.at < 4 * STEP_MS;
