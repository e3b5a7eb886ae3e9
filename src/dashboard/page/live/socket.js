// The WebSocket connection: authenticates with its first message, reconnects, and detects a dead connection.

import { expireSession, isLoggedIn, token } from '../base/session.js';
import { syncServerClock } from '../base/format.js';
import { publish } from './pub-sub.js';

const DELAY_MIN_MS = 500;
const DELAY_MAX_MS = 15_000;
/** Silence after which the page sends a ping of its own, because a browser does not expose the server's pings. */
const SILENCE_MS = 20_000;
/** Time limit of the reply to a ping; then the connection is closed. */
const PONG_MS = 10_000;

/**
 * `state` is `off`, `connecting`, `live` or `waiting` (until `retryAt`). `lostAt` is the time since which data may be
 * stale, or 0.
 */
export const connection = { state: 'off', retryAt: 0, lostAt: 0 };

let socket = null;
let attempts = 0;
let reconnectTimer = 0;
let silenceTimer = 0;
let onMessage = () => {};

/** Connects. `listener(message)` gets every message, and `{type: 'connected'}` after each login. */
export function start(listener) {
  onMessage = listener;
  addEventListener('online', retryNow);
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && retryNow());
  open();
}

export function retryNow() {
  if (connection.state !== 'waiting') return;
  attempts = 0;
  open();
}

export function stop() {
  clearTimeout(reconnectTimer);
  clearTimeout(silenceTimer);
  const old = socket;
  socket = null;
  old?.close();
  setState('off');
}

/** Opens a new connection with the current token. */
export function open() {
  stop();
  if (!isLoggedIn()) return;
  setState('connecting');
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.hash = '';
  const mine = new WebSocket(url);
  socket = mine;
  const usedToken = token();
  mine.onopen = () => {
    mine.send(JSON.stringify({ type: 'auth', data: { token: usedToken } }));
    armSilenceTimer();
  };
  mine.onmessage = (event) => {
    if (mine !== socket) return;
    armSilenceTimer();
    receive(JSON.parse(event.data));
  };
  mine.onclose = (event) => {
    if (mine !== socket) return;
    socket = null;
    clearTimeout(silenceTimer);
    if (event.code === 4401) expireSession(usedToken);
    else scheduleReconnect();
  };
}

function receive(message) {
  if (typeof message.timestamp === 'number') syncServerClock(message.timestamp);
  if (message.type === 'auth_ok') {
    attempts = 0;
    connection.lostAt = 0;
    setState('live');
    onMessage({ type: 'connected' });
  }
  onMessage(message);
}

/** Restarts the timer that detects a dead connection. */
function armSilenceTimer() {
  clearTimeout(silenceTimer);
  const mine = socket;
  silenceTimer = setTimeout(() => {
    if (mine?.readyState !== WebSocket.OPEN) return;
    mine.send(JSON.stringify({ type: 'ping' }));
    silenceTimer = setTimeout(() => {
      if (mine !== socket) return;
      // Do not wait for `onclose`: a dead peer never answers the close frame.
      socket = null;
      mine.close();
      scheduleReconnect();
    }, PONG_MS);
  }, SILENCE_MS);
}

function scheduleReconnect() {
  const delayMs = Math.min(DELAY_MAX_MS, DELAY_MIN_MS * 2 ** attempts) * (0.75 + Math.random() / 2);
  attempts += 1;
  connection.lostAt ||= Date.now();
  connection.retryAt = Date.now() + delayMs;
  setState('waiting');
  reconnectTimer = setTimeout(open, delayMs);
}

function setState(state) {
  connection.state = state;
  publish('connection');
}
