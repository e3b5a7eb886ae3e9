// Every test of the page: `node --test tests/page/`. Half of them wait for something most of the time, so two halves run at once,
// each against a system of its own; then, alone, the one that measures.

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

/** One after the other, against one system that is filled in before the first. */
function half(name, ...files) {
  describe(name, { concurrency: 1 }, () => {
    const world = {};
    before(async () => {
      Object.assign(world, await stack(3), shared);
    });
    after(() => world.end?.());
    // A test that fails must not take others with it.
    afterEach(() => world.settle());
    for (const tests of files) tests(world);
  });
}

describe('at once', { concurrency: 2 }, () => {
  half('tasks and fleet', pureModules, login, tasks, fleet, liveOutputs);
  half('submitting and looks', submit, forms, workflows, docs, appearance);
});
half('alone', load);
