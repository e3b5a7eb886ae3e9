// The one WebSocket: logs in by its first message, comes back by itself, notices a dead line.

import { expire, isLoggedIn, token } from '../base/session.js';
import { hearServerClock } from '../base/format.js';
import { changed } from './topics.js';

const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 15_000;
/** A browser does not show the server's pings: silence for so long is answered with a ping of ours, and then given up. */
const SILENCE_MS = 20_000;
const PONG_MS = 10_000;

/** `state`: `off`, `connecting`, `live`, `waiting` (until `retryAt`). `lostAt`: since when what is shown may be old. */
export const line = { state: 'off', retryAt: 0, lostAt: 0 };

let socket = null;
let tries = 0;
let timer = 0;
let silence = 0;
let onMessage = () => {};

/** `hear(message)` gets every message after the login, and `{type: 'connected'}` after each. */
export function start(hear) {
  onMessage = hear;
  addEventListener('online', retryNow);
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && retryNow());
  open();
}

export function retryNow() {
  if (line.state !== 'waiting') return;
  tries = 0;
  open();
}

export function stop() {
  clearTimeout(timer);
  clearTimeout(silence);
  const old = socket;
  socket = null;
  old?.close();
  become('off');
}

/** Connects anew, with the token of now. */
export function open() {
  stop();
  if (!isLoggedIn()) return;
  become('connecting');
  const address = new URL('ws', document.baseURI);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  address.hash = '';
  const mine = new WebSocket(address);
  socket = mine;
  const used = token();
  mine.onopen = () => {
    mine.send(JSON.stringify({ type: 'auth', data: { token: used } }));
    listen();
  };
  mine.onmessage = (event) => {
    if (mine !== socket) return;
    listen();
    hear(JSON.parse(event.data));
  };
  mine.onclose = (event) => {
    if (mine !== socket) return;
    socket = null;
    clearTimeout(silence);
    if (event.code === 4401) expire(used);
    else wait();
  };
}

function hear(message) {
  if (typeof message.timestamp === 'number') hearServerClock(message.timestamp);
  if (message.type === 'auth_ok') {
    tries = 0;
    line.lostAt = 0;
    become('live');
    onMessage({ type: 'connected' });
  }
  onMessage(message);
}

/** Restarts the watch for silence. */
function listen() {
  clearTimeout(silence);
  const mine = socket;
  silence = setTimeout(() => {
    if (mine?.readyState !== WebSocket.OPEN) return;
    mine.send(JSON.stringify({ type: 'ping' }));
    silence = setTimeout(() => {
      if (mine !== socket) return;
      // `close` waits for the other side, which is silent.
      socket = null;
      mine.close();
      wait();
    }, PONG_MS);
  }, SILENCE_MS);
}

function wait() {
  const pause = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** tries) * (0.75 + Math.random() / 2);
  tries += 1;
  line.lostAt ||= Date.now();
  line.retryAt = Date.now() + pause;
  become('waiting');
  timer = setTimeout(open, pause);
}

function become(state) {
  line.state = state;
  changed('line');
}
