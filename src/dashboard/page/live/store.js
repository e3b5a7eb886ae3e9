// Live state of the page: the overview, the instances and the latest update of each task. WebSocket messages keep it
// current.

import { call } from '../base/api.js';
import { now } from '../base/format.js';
import { isLoggedIn } from '../base/session.js';
import { recordOverview } from './history.js';
import { connection } from './socket.js';
import { publish } from './pub-sub.js';

/** Tasks whose latest update is kept; the oldest are dropped. */
const UPDATES_MAX = 2_000;
/** Characters kept of a text output. The task view loads the whole text. */
const TEXT_CHARS_MAX = 1_000;
/** Outputs kept per running task. */
const OUTPUTS_MAX = 200;
/** Poll interval without a socket: a proxy may block WebSockets, and an api process may run without them. */
const POLL_MS = 5_000;
/** Age after which instances are read again, because messages do not carry the device and version. */
const INSTANCES_STALE_MS = 15_000;
/** Interval between two reads of the health, which no message carries. */
const HEALTH_MS = 5_000;

/**
 * `overview` and `instances` are `null` until loaded. Instances are in the order of the config. `health` is the `data` of the
 * health; `type` is its error type while the queue does not work.
 */
export const known = { overview: null, instances: null, instancesError: null, health: null };

/** taskId → `{at, …data of its latest message}`; `at` is `performance.now()`. */
const updates = new Map();
let instancesReadAt = -Infinity;
let isReading = false;
/** Messages that arrived while instances were being read. They are applied after the response, which may be older. */
let deferred = [];

/** Applies a message of the socket. */
export function onMessage(message) {
  const { type, data } = message;
  if (type === 'global_status') {
    known.overview = data;
    recordOverview(data);
    publish('overview');
  } else if (type === 'task_progress' || type === 'task_output' || type === 'task_completed' || type === 'task_failed') {
    applyTaskMessage(message);
  } else if (type === 'instance_status') {
    applyInstanceMessage(data);
  } else if (type === 'connected' || type === 'resync') {
    publish('resync');
    readInstances();
    readHealth();
  }
}

function applyTaskMessage({ type, timestamp, data }) {
  const previous = updates.get(data.taskId);
  const status = data.status ?? (type === 'task_completed' ? 'completed' : type === 'task_failed' ? 'failed' : 'running');
  const isNewStatus = previous?.status !== status || previous?.attempt !== data.attempt;
  updates.delete(data.taskId);
  for (const output of [...(data.result?.outputs ?? []), ...(data.outputs ?? [])]) truncateText(output);
  // Collect the outputs of one attempt. A `task_output` message has no progress, so keep the previous one.
  const isSameAttempt = previous?.attempt === data.attempt;
  const collected = [...((isSameAttempt && previous.collected) || []), ...(data.outputs ?? [])].slice(0, OUTPUTS_MAX);
  const before = type === 'task_output' && isSameAttempt ? previous : {};
  updates.set(data.taskId, { ...before, ...data, collected, status, timestamp, at: performance.now() });
  if (updates.size > UPDATES_MAX) updates.delete(updates.keys().next().value);
  publish('task', data.taskId);
  if (isNewStatus) publish('statuses', data.taskId);
}

function truncateText(output) {
  if (output.text?.length > TEXT_CHARS_MAX) output.text = `${output.text.slice(0, TEXT_CHARS_MAX)}…`;
}

function applyInstanceMessage(data) {
  if (isReading) deferred.push(data);
  // An unknown instance may be new in the config.
  else if (!applyInstance(data)) readInstances();
}

/** Applies `data` to its instance. Returns false if the instance is unknown. */
function applyInstance(data) {
  const instance = known.instances?.find((item) => item.id === data.instanceId);
  if (!instance) return false;
  // Device and version may have changed with the phase: read them soon.
  if (instance.phase !== data.phase || instance.enabled !== data.enabled) instancesReadAt = -Infinity;
  const { instanceId: _id, ...rest } = data;
  Object.assign(instance, rest);
  publish('instances', data.instanceId);
  return true;
}

/**
 * Returns the latest update of a task that arrived after `since` (`performance.now()` of the request for the task), or
 * `null`.
 */
export function latestUpdate(taskId, since = 0) {
  const item = updates.get(taskId);
  return item && item.at >= since ? item : null;
}

/** Returns `task` merged with the updates that arrived after it was requested. */
export function withUpdates(task, requestedAt) {
  const item = latestUpdate(task.id, requestedAt);
  if (!item) return task;
  const when = new Date(item.timestamp ?? now()).toISOString();
  const next = { ...task, status: item.status, attempt: item.attempt ?? task.attempt };
  for (const name of ['instanceId', 'progress', 'nodesDone', 'nodesTotal', 'result', 'error']) {
    if (item[name] !== undefined) next[name] = item[name];
  }
  if (item.status !== 'completed') next.result = outputsSoFar(task, item);
  next.currentNode = item.status === 'running' ? (item.currentNode ?? task.currentNode) : undefined;
  if (item.status === 'running') next.startedAt ??= when;
  if (isEnded(item.status)) next.finishedAt ??= when;
  // Those of the outputs; the task was read with those of the request.
  if (item.warnings) next.warnings = [...(task.warnings ?? []), ...item.warnings];
  for (const name of ['step', 'steps', 'remainingMs']) {
    next[name] = item.status === 'running' ? item[name] : undefined;
  }
  if (item.status === 'pending') {
    next.startedAt = null;
    next.waitingSince ??= when;
  } else {
    next.waitingFor = undefined;
    if (task.waitingSince) {
      // The wait has ended since the task was read.
      next.waitedMs = (task.waitedMs ?? 0) + Math.max(0, Date.parse(next.startedAt ?? when) - Date.parse(task.waitingSince));
      next.waitingSince = undefined;
    }
  }
  return next;
}

/**
 * Outputs of the current attempt: those read with the task, then those from messages. Outputs of earlier attempts are
 * dropped.
 */
function outputsSoFar(task, { attempt = task.attempt, collected }) {
  const read = attempt === task.attempt ? (task.result?.outputs ?? []) : [];
  const seen = new Set(read.map(outputKey));
  const outputs = [...read, ...collected.filter((output) => !seen.has(outputKey(output)))];
  return outputs.length ? { outputs } : undefined;
}

/** Identity of an output. Texts are compared by the part that a message keeps. */
const outputKey = ({ fileId, nodeId, text }) => fileId ?? `${nodeId} ${text?.slice(0, TEXT_CHARS_MAX)}`;

/** Task statuses, in the order of the filters. */
export const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled'];

/** Whether a task with this status has ended. */
export const isEnded = (status) => status === 'completed' || status === 'failed' || status === 'cancelled';

/** Loads the instances from the API. */
export async function readInstances() {
  if (isReading || !isLoggedIn()) return;
  isReading = true;
  deferred = [];
  try {
    known.instances = await call('GET', 'instances');
    known.instancesError = null;
    instancesReadAt = performance.now();
  } catch (error) {
    known.instancesError = error;
    instancesReadAt = performance.now() - INSTANCES_STALE_MS + POLL_MS;
  } finally {
    isReading = false;
  }
  for (const data of deferred) applyInstance(data);
  publish('instances');
}

setInterval(() => {
  const isStale = performance.now() - instancesReadAt > INSTANCES_STALE_MS;
  if (document.visibilityState === 'visible' && isStale) readInstances();
}, 1_000);

setInterval(async () => {
  if (connection.state === 'live' || !isLoggedIn() || document.visibilityState !== 'visible') return;
  try {
    known.overview = await call('GET', 'monitor/overview');
  } catch {
    // The banner reports that the server is unreachable.
    return;
  }
  recordOverview(known.overview);
  publish('overview');
  publish('statuses');
}, POLL_MS);

async function readHealth() {
  if (!isLoggedIn() || document.visibilityState !== 'visible') return;
  try {
    known.health = await call('GET', 'health');
  } catch (error) {
    // The banner reports that the server is unreachable.
    if (!error.data?.status) return;
    known.health = { ...error.data, type: error.type };
  }
  publish('overview');
  publish('connection');
}

setInterval(readHealth, HEALTH_MS);

/** Drops all state, because another user may log in. */
export function reset() {
  Object.assign(known, { overview: null, instances: null, instancesError: null, health: null });
  updates.clear();
}
