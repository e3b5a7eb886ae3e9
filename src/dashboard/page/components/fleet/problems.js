// What is wrong now, worst first. Pure: the overview and the instances in, a list out.

import { phaseOf } from '../ui/badges.js';

/** From here on a wait is worth a look. */
const LONG_WAIT_MS = 60_000;

/** `{about: 'instance'|'queue', level: 'bad'|'warn', kind, instance?, waitingMs?, count?}` */
export function troubles(overview, instances) {
  const found = [];
  if (instances) {
    const enabled = instances.filter((item) => item.enabled);
    if (instances.length === 0) found.push({ about: 'queue', level: 'warn', kind: 'no_instances' });
    else if (enabled.length === 0) found.push({ about: 'queue', level: 'warn', kind: 'all_disabled' });
    else if (enabled.every((item) => !item.alive)) found.push({ about: 'queue', level: 'bad', kind: 'none_alive' });
    for (const instance of enabled) {
      const phase = phaseOf(instance);
      if (phase === 'down' || phase === 'suspect')
        found.push({ about: 'instance', level: phase === 'down' ? 'bad' : 'warn', kind: phase, instance });
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
