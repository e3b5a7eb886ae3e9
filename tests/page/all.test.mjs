// Every test of the page, against one running system: `node --test tests/page/`.

import { after, afterEach, before } from 'node:test';
import { launch } from './browser.mjs';
import arriving from './arriving.mjs';
import docs from './docs.mjs';
import fleet from './fleet.mjs';
import flows from './flows.mjs';
import forms from './forms.mjs';
import load from './load.mjs';
import login from './login.mjs';
import look from './look.mjs';
import parts from './parts.mjs';
import { stack } from './stack.mjs';
import submit from './submit.mjs';
import tasks from './tasks.mjs';

/** Filled before the first test. */
const world = {};

before(async () => {
  Object.assign(world, await stack(3), { browser: await launch() });
});
after(async () => {
  await world.browser?.close();
  await world.end?.();
});

// A test that fails must not take others with it.
afterEach(() => world.settle());

for (const tests of [parts, login, tasks, arriving, submit, forms, flows, fleet, look, docs, load]) tests(world);
