// What the page knows now: the overview, the instances, and how far each task is that was heard of. Messages keep it true.

import { call } from '../base/api.js';
import { now } from '../base/format.js';
import { isLoggedIn } from '../base/session.js';
import { sample } from './history.js';
import { line } from './socket.js';
import { changed } from './topics.js';

/** Tasks whose last news is kept; the oldest are forgotten. */
const NEWS_MAX = 2_000;
/** Of a text that a task made; the whole is read when somebody looks at the task. */
const TEXT_KEPT = 1_000;
/** Outputs of a running task that are kept of its messages. */
const MADE_MAX = 200;
/** Without a socket (a proxy that lets none through, an api process that has none) the page asks instead. */
const POLL_MS = 5_000;
/** Messages tell what changes; what they do not carry (device, version) is read again after so long. */
const INSTANCES_STALE_MS = 15_000;

/** `overview` is `null` until known; `instances` is `null`, or in the config's order. */
export const known = { overview: null, instances: null, instancesError: null };

/** taskId → `{at, …data of the last message}`; `at` is `performance.now()`. */
const news = new Map();
let instancesReadAt = -Infinity;
let isReading = false;
/** Messages that came while instances were being read: what is read may be older. */
let outrun = [];

/** Takes one message of the socket. */
export function hear(message) {
  const { type, data } = message;
  if (type === 'global_status') {
    known.overview = data;
    sample(data);
    changed('overview');
  } else if (type === 'task_progress' || type === 'task_output' || type === 'task_completed' || type === 'task_failed') {
    hearTask(message);
  } else if (type === 'instance_status') {
    hearInstance(data);
  } else if (type === 'connected' || type === 'resync') {
    changed('resync');
    readInstances();
  }
}

function hearTask({ type, timestamp, data }) {
  const kept = news.get(data.taskId);
  const status = data.status ?? (type === 'task_completed' ? 'completed' : type === 'task_failed' ? 'failed' : 'running');
  const isNews = kept?.status !== status || kept?.attempt !== data.attempt;
  news.delete(data.taskId);
  for (const output of [...(data.result?.outputs ?? []), ...(data.outputs ?? [])]) shorten(output);
  // What an attempt has made so far; an output says nothing of progress, and what was said of it still holds.
  const isSame = kept?.attempt === data.attempt;
  const made = [...((isSame && kept.made) || []), ...(data.outputs ?? [])].slice(0, MADE_MAX);
  const before = type === 'task_output' && isSame ? kept : {};
  news.set(data.taskId, { ...before, ...data, made, status, timestamp, at: performance.now() });
  if (news.size > NEWS_MAX) news.delete(news.keys().next().value);
  changed('task', data.taskId);
  if (isNews) changed('statuses', data.taskId);
}

function shorten(output) {
  if (output.text?.length > TEXT_KEPT) output.text = `${output.text.slice(0, TEXT_KEPT)}…`;
}

function hearInstance(data) {
  if (isReading) outrun.push(data);
  // One that is not known may be new in the config.
  else if (!applyInstance(data)) readInstances();
}

/** Whether there is such an instance. */
function applyInstance(data) {
  const instance = known.instances?.find((item) => item.id === data.instanceId);
  if (!instance) return false;
  // A phase brings a version or a device with it: read those soon.
  if (instance.phase !== data.phase || instance.enabled !== data.enabled) instancesReadAt = -Infinity;
  const { instanceId: _id, ...rest } = data;
  Object.assign(instance, rest);
  changed('instances', data.instanceId);
  return true;
}

/** The last news of a task, if it came after `since` (`performance.now()` when the task was asked for). */
export function newsOf(taskId, since = 0) {
  const item = news.get(taskId);
  return item && item.at >= since ? item : null;
}

/** `task` with the news that came after it was asked for. */
export function withNews(task, askedAt) {
  const item = newsOf(task.id, askedAt);
  if (!item) return task;
  const when = new Date(item.timestamp ?? now()).toISOString();
  const next = { ...task, status: item.status, attempt: item.attempt ?? task.attempt };
  for (const name of ['instanceId', 'progress', 'nodesDone', 'nodesTotal', 'result', 'error']) {
    if (item[name] !== undefined) next[name] = item[name];
  }
  if (item.status !== 'completed') next.result = soFar(task, item);
  next.currentNode = item.status === 'running' ? (item.currentNode ?? task.currentNode) : undefined;
  if (item.status === 'running') next.startedAt ??= when;
  if (isEnded(item.status)) next.finishedAt ??= when;
  if (item.status === 'pending') next.startedAt = null;
  else next.waitingFor = undefined;
  return next;
}

/** What there is but for a good end: as read, and what came since. Nothing is left of an attempt that another one follows. */
function soFar(task, { attempt = task.attempt, made }) {
  const read = attempt === task.attempt ? (task.result?.outputs ?? []) : [];
  const known = new Set(read.map(outputKey));
  const outputs = [...read, ...made.filter((output) => !known.has(outputKey(output)))];
  return outputs.length ? { outputs } : undefined;
}

/** As far as a message keeps a text. */
const outputKey = ({ fileId, nodeId, text }) => fileId ?? `${nodeId} ${text?.slice(0, TEXT_KEPT)}`;

export const isEnded = (status) => status === 'completed' || status === 'failed' || status === 'cancelled';

/** Reads the instances. */
export async function readInstances() {
  if (isReading || !isLoggedIn()) return;
  isReading = true;
  outrun = [];
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
  for (const data of outrun) applyInstance(data);
  changed('instances');
}

setInterval(() => {
  const isStale = performance.now() - instancesReadAt > INSTANCES_STALE_MS;
  if (document.visibilityState === 'visible' && isStale) readInstances();
}, 1_000);

setInterval(async () => {
  if (line.state === 'live' || !isLoggedIn() || document.visibilityState !== 'visible') return;
  try {
    known.overview = await call('GET', 'monitor/overview');
  } catch {
    // The banner says that the server is away.
    return;
  }
  sample(known.overview);
  changed('overview');
  changed('statuses');
}, POLL_MS);

/** Forgets everything: somebody else logs in. */
export function forgetAll() {
  Object.assign(known, { overview: null, instances: null, instancesError: null });
  news.clear();
}
