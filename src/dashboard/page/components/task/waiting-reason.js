// Translates a task's `waitingFor`, which the server words in English.

import { timeOfDay } from '../../base/format.js';
import { t } from '../../base/i18n.js';

/** Forms of the server's sentence: pattern, message key, names of the groups. */
const FORMS = [
  [/^retry at (\S+), after attempt (\d+) failed/, 'waiting.retry', ['at', 'attempt']],
  [/^an instance to (?:begin|start)/, 'waiting.instance', []],
  [/^(\S+) to begin: (\d+) prompts? of somebody else/, 'waiting.foreign', ['instance', 'n']],
  [/^its instance (\S+): down since (\S+);/, 'waiting.instanceDown', ['instance', 'at']],
  [/^(\S+): after the last attempt it is tried there/, 'waiting.preferred', ['instance']],
  [/^(\S+) to (?:begin|start)/, 'waiting.start', ['instance']],
  [/^(\S+) to (?:answer|respond)/, 'waiting.response', ['instance']],
  [/^free space: /, 'waiting.diskLow', []],
  [/^memory: /, 'waiting.memoryFull', []],
  [/^a dispatcher: none/, 'waiting.noDispatcher', []],
  [/^the dispatchers to /, 'waiting.afterOutage', []],
  [/^an instance that has (.+?): only /, 'waiting.needs', ['needs']],
  [/^an instance: the config has none/, 'waiting.noInstances', []],
  [/^an instance: (?:all \d+ are|the only one is) disabled/, 'waiting.allDisabled', []],
  [/^an instance: none of the (\d+) enabled/, 'waiting.noneAlive', ['n']],
  [/^an instance; only /, 'waiting.instance', []],
  [
    /^a healthy instance: (?:its only instance|all \d+ instances are quarantined,) (\S+) (?:is quarantined )?since (\S+?): (.+); (?:next trial|the next trial|a trial)/,
    'waiting.quarantined',
    ['instance', 'at', 'reason'],
  ],
  [/^a healthy instance: /, 'waiting.allSuspect', []],
  [/^a free instance: (?:all (\d+) are|the only one is) busy/, 'waiting.allBusy', ['n']],
  [/^another instance: /, 'waiting.otherInstance', []],
  [/^its turn: (\d+) of (\d+) instances free/, 'waiting.turn', ['free', 'all']],
];

/** Returns the reason in the language of the page, or the server's sentence if its form is unknown. */
export function waitingReason(sentence) {
  const form = FORMS.find(([pattern]) => pattern.test(sentence));
  if (!form) return t('waiting.other', { sentence });
  const [pattern, key, names] = form;
  const groups = pattern.exec(sentence);
  const values = Object.fromEntries(
    names.map((name, at) => [name, name === 'at' ? timeOfDay(groups[at + 1]) : (groups[at + 1] ?? '1')]),
  );
  const ahead = /(?:(next in line)|(\d+) tasks? ahead)$/.exec(sentence);
  const position = !ahead ? '' : ahead[1] ? t('waiting.next') : t('waiting.ahead', { n: ahead[2] });
  const only = /; only (.+?) (?:has|have) what it needs(, and the config)?/.exec(sentence);
  const eligible = only ? t(only[2] ? 'waiting.onlyRemoved' : 'waiting.only', { names: only[1] }) : '';
  return t(key, values) + eligible + (position ? t('waiting.position', { position }) : '');
}
