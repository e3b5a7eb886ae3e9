// Finds current problems of the queue and the instances, most severe first. Pure.

import { phaseOf } from '../ui/badges.js';

/** Age of the oldest waiting task that counts as a problem. */
const LONG_WAIT_MS = 60_000;

/** Whether an instance is enabled, but down, quarantined or suspect. */
export const hasProblem = (instance) => instance.enabled && ['down', 'quarantined', 'suspect'].includes(phaseOf(instance));

/**
 * `health` is the answer of `GET /api/health`, or null.
 * Returns a list of `{about: 'instance'|'queue', level: 'bad'|'warn', kind, instance?, waitingMs?, count?}`.
 */
export function findProblems(overview, instances, health) {
  const found = [];
  if (health?.warnings?.includes('storage_reserve')) found.push({ about: 'queue', level: 'bad', kind: 'disk_low' });
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
  if (overview?.warnings?.includes('queue_memory_full')) found.push({ about: 'queue', level: 'bad', kind: 'memory_full' });
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
