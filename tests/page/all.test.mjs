// All tests of the page: `node --test tests/page/`. Most tests spend their time waiting, so two groups run
// concurrently, each with its own system. The load test measures time and runs alone afterwards.

import { after, afterEach, before, describe } from 'node:test';
import { launch } from './support/browser.mjs';
import liveOutputs from './live-outputs.mjs';
import docs from './docs.mjs';
import fleet from './fleet.mjs';
import workflows from './workflows.mjs';
import forms from './forms.mjs';
import load from './load.mjs';
import login from './login.mjs';
import appearance from './appearance.mjs';
import pureModules from './pure-modules.mjs';
import { stack } from './support/stack.mjs';
import submit from './submit.mjs';
import tasks from './tasks.mjs';

const shared = {};

before(async () => {
  shared.browser = await launch();
});
after(() => shared.browser?.close());

/** Runs the tests of `files` one after another against one system, which starts before the first. */
function group(name, ...files) {
  describe(name, { concurrency: 1 }, () => {
    const world = {};
    before(async () => {
      Object.assign(world, await stack(3), shared);
    });
    after(() => world.end?.());
    // Clean up after each test, so that a failed one does not affect the next.
    afterEach(() => world.settle());
    for (const tests of files) tests(world);
  });
}

describe('concurrent', { concurrency: 2 }, () => {
  group('tasks and fleet', pureModules, login, tasks, fleet, liveOutputs);
  group('submit and appearance', submit, forms, workflows, docs, appearance);
});
group('alone', load);
