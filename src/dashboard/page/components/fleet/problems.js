// Finds current problems of the queue and the instances, most severe first. Pure.

import { phaseOf } from '../ui/badges.js';

/** Age of the oldest waiting task that counts as a problem. */
const LONG_WAIT_MS = 60_000;

/** Whether an instance is enabled, but down, quarantined or suspect. */
export const hasProblem = (instance) => instance.enabled && ['down', 'quarantined', 'suspect'].includes(phaseOf(instance));

/** Warnings of the health and the overview, and the kinds of their problems. */
const WARNINGS = {
  storage_reserve: 'disk_low',
  queue_memory_full: 'memory_full',
  not_confirmed: 'not_confirmed',
  redis_unfit: 'redis_unfit',
  store_foreign: 'store_foreign',
};

/** Returns the kind of the problem that stops the queue, or null. `health` is that of the store. */
export const queueOutage = (health) =>
  health?.status !== 'degraded'
    ? null
    : health.redis === 'lost'
      ? 'queue_lost'
      : health.redis === 'refusing'
        ? 'redis_refuses'
        : 'redis_unavailable';

/**
 * `health` is that of the store, or null.
 * Returns a list of `{about: 'instance'|'queue', level: 'bad'|'warn', kind, instance?, waitingMs?, count?}`.
 */
export function findProblems(overview, instances, health) {
  const found = [];
  const outage = queueOutage(health);
  if (outage) found.push({ about: 'queue', level: 'bad', kind: outage });
  const warnings = new Set([...(health?.warnings ?? []), ...(overview?.warnings ?? [])]);
  for (const [warning, kind] of Object.entries(WARNINGS)) {
    if (warnings.has(warning)) found.push({ about: 'queue', level: 'bad', kind });
  }
  if (instances) {
    const enabled = instances.filter((item) => item.enabled);
    if (instances.length === 0) found.push({ about: 'queue', level: 'warn', kind: 'no_instances' });
    else if (enabled.length === 0) found.push({ about: 'queue', level: 'warn', kind: 'all_disabled' });
    else if (enabled.every((item) => !item.alive)) found.push({ about: 'queue', level: 'bad', kind: 'none_alive' });
    for (const instance of enabled.filter(hasProblem)) {
      const phase = phaseOf(instance);
      found.push({ about: 'instance', level: phase === 'suspect' ? 'warn' : 'bad', kind: phase, instance });
    }
  }
  if (overview && overview.oldestWaitingMs >= LONG_WAIT_MS) {
    found.push({
      about: 'queue',
      level: 'warn',
      kind: 'long_wait',
      waitingMs: overview.oldestWaitingMs,
      count: overview.pendingTasks,
    });
  }
  return found.sort((a, b) => (a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1));
}
