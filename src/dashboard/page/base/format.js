// Formats numbers, times and ids for display.

import { locale, t } from './i18n.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `3 d 4 h`. */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '–';
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (ms < 0) ms = 0;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} ${t('unit.s')}`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} ${t('unit.s')}`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} ${t('unit.min')} ${two((ms % MINUTE) / SECOND)} ${t('unit.s')}`;
  if (ms < 48 * HOUR) return `${Math.floor(ms / HOUR)} ${t('unit.h')} ${two((ms % HOUR) / MINUTE)} ${t('unit.min')}`;
  return `${Math.floor(ms / (24 * HOUR))} ${t('unit.d')} ${Math.floor((ms % (24 * HOUR)) / HOUR)} ${t('unit.h')}`;
}

/** `about 2 min`, for estimates. */
export function approxDuration(ms) {
  const seconds = Math.max(5, Math.ceil(ms / SECOND / 5) * 5);
  if (seconds < 60) return t('approx', { time: `${seconds} ${t('unit.s')}` });
  const minutes = Math.round(ms / MINUTE);
  if (minutes < 60) return t('approx', { time: `${Math.max(1, minutes)} ${t('unit.min')}` });
  const hours = Math.round(ms / HOUR);
  return t('approx', { time: hours < 48 ? `${hours} ${t('unit.h')}` : `${Math.round(hours / 24)} ${t('unit.d')}` });
}

/** `1.4 MB`; decimal units. */
export function bytes(count) {
  if (count === null || count === undefined) return '–';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  return `${at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
}

const gibibytes = (count) => (count / 2 ** 30).toFixed(1);

/** Memory of a device, `1.5 / 23.5 GiB`; binary units, as graphics cards report memory. */
export const memoryUsage = ({ vramTotal, vramFree }) => `${gibibytes(vramTotal - vramFree)} / ${gibibytes(vramTotal)} GiB`;

/** `1,234`. */
export const number = (n) => (n === null || n === undefined ? '–' : Number(n).toLocaleString(locale()));

/** `14:03:09`, with the date unless it is today. */
export function timeOfDay(time) {
  if (!time) return '–';
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { day: '2-digit', month: 'short' };
  return date.toLocaleString(locale(), { ...day, hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
}

/** Date and time in full, for tooltips. */
export const fullTime = (time) =>
  time ? new Date(time).toLocaleString(locale(), { dateStyle: 'full', timeStyle: 'long' }) : '';

/** `3 s ago`. */
export function ago(time) {
  if (!time) return t('never');
  return t('ago', { time: duration(Math.max(0, now() - Date.parse(time))) });
}

/** `01a2…09404e`. A UUID v7 starts with its time, so its end distinguishes ids. */
export const shortId = (id) => (id && id.length > 16 ? `${id.slice(0, 4)}…${id.slice(-6)}` : (id ?? '–'));

/** Offset of the server's clock from this machine's, in ms. */
let skew = 0;
/** Updates the clock offset from the timestamp of a message. */
export function syncServerClock(unixMs) {
  const offset = unixMs - Date.now();
  // Delivery delays only make the offset smaller, so the largest one is the most accurate.
  if (skew === 0 || offset > skew || Math.abs(offset - skew) > 5_000) skew = offset;
}
/** Current time by the server's clock, in Unix ms. */
export const now = () => Date.now() + skew;
