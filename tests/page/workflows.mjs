// Sweeps, batches and published workflows.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, count, open, text, visit } from './support/browser.mjs';
import { quick, slow } from './support/workflows.mjs';
import { drop, nextBody } from './submit.mjs';

const graph = JSON.stringify(quick);

export default (world) => {
  test('a sweep submits one batch with a task for every combination of values', async () => {
    const page = await open(world, { route: '#/submit' });
    await drop(page, 'a.json', graph, 'application/json');
    await page.click('[data-test=vary]');
    await page.selectOption('.axis select', '1.width');
    await page.click('[data-test=run]');
    await text(page, '.axis .form-error', 'Enter at least one value.');
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'TEXTAREA', 'the values field has the focus');
    await page.fill('.axis textarea', '64, 96 \n128 x');
    await page.click('[data-test=run]');
    await text(page, '.axis .form-error', 'Enter a number. (x)');
    await page.fill('.axis textarea', '64, 96');
    await text(page, '[data-test=total]', '2 tasks (max. 1,000 per request).');
    await page.click('[data-test=vary]');
    assert.ok(await page.isDisabled('.axis:nth-child(2) option[value="1.width"]'), 'an input can be varied only once');
    await page.selectOption('.axis:nth-child(2) select', '2.filename_prefix');
    await page.fill('.axis:nth-child(2) textarea', 'a, b\nc');
    await page.fill('[id^=count]', '251');
    await text(page, '[data-test=total]', '2 × 2 × 251 = 1,004 tasks: a request may have at most 1,000.');
    await page.click('[data-test=run]');
    await text(page, '.submit-error', /1,004 tasks/);
    await page.fill('[id^=count]', '2');
    await text(page, '[data-test=total]', '2 × 2 × 2 = 8 tasks (max. 1,000 per request).');
    await text(page, '[data-test=run]', 'Run 8 tasks');
    assert.ok(await page.$eval('[data-input="1.width"] input', (input) => input.inert), 'its field is inert');
    await page.fill('[data-input="1.height"] input', '32');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    const lists = '{"1.width": [64, 96], "2.filename_prefix": ["a, b", "c"]}';
    assert.equal(body, `{"workflow": ${graph}, "params": {"1": {"height": 32}}, "count": 2, "sweep": ${lists}}`);
    await page.waitForFunction(() => document.querySelectorAll('.run[data-status=completed]').length === 8);
    await page.click('.toast button');
    await text(page, '[data-test=batch] strong', 'Batch of 8 tasks');
    await text(page, '[data-test=batch] .sub', 'Completed 8');
    await count(page, '.tr[data-id]', 8);
    await page.click('.chip[data-status=failed]');
    await page.waitForURL(/status=failed&batch=/);
    await text(page, '.state h2', 'No matching tasks');
    await close(page);
  });

  test('a batch is cancelled as a whole after a confirmation', async () => {
    const { batchId, tasks } = await world.call('POST', 'tasks', { workflow: slow(30), count: 5 });
    const page = await open(world, { route: `#/tasks?batch=${batchId}` });
    await page.click('[data-test=cancel-batch]');
    await page.click('dialog .danger');
    await text(page, '[data-test=batch] .sub', 'Cancelled 5');
    await page.waitForSelector('[data-test=cancel-batch]', { state: 'hidden' });
    for (const { id } of tasks) assert.equal((await world.call('GET', `tasks/${id}`)).status, 'cancelled');
    await visit(page, world.base, `#/tasks/${tasks[3].id}`);
    await page.click('.facts a:has-text("task 4 of its batch")');
    await text(page, '[data-test=batch] strong', 'Batch of 5 tasks');
    await close(page);
  });

  test('a workflow is published, submitted by name, updated and deleted', async () => {
    const page = await open(world, { route: '#/submit', allowed: [409, 422] });
    // More workflows are published than fit on one page of the list.
    await world.call('PUT', 'workflows/another', { workflow: quick });
    await page.route(/api\/workflows\?/, (route) =>
      route.continue({ url: route.request().url().replace('limit=200', 'limit=1') }),
    );
    await drop(page, 'a.json', graph, 'application/json');
    await page.fill('[data-input="1.height"] input', '48');
    await page.click('[data-test=publish]');
    await page.fill('dialog input[name=name]', 'a plain one');
    await page.click('[data-test=publish-do]');
    await text(page, 'dialog .form-error', /^A name has 1 to 64/);
    await page.fill('dialog input[name=name]', 'plain');
    await text(page, '#publish-state', 'Creates a new workflow.');
    await page.fill('dialog textarea', 'One colour.');
    for (const name of ['width', 'height', 'filename_prefix'])
      await page.check(`.publish-param [type=checkbox][aria-label$="· ${name}"]`);
    await page.click('[data-test=publish-do]');
    await text(page, 'h1', 'plain');
    await text(page, '.lead', /^One colour\. Version 1/);
    assert.equal(await page.inputValue('[data-input=".height"] input'), '48');
    assert.equal(await page.inputValue('[data-input=".filename_prefix"] input'), 'quick');
    await page.fill('[data-input=".width"] input', '80');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.equal(body, '{"workflow": "plain", "params": {"width": 80}}');
    await page.waitForSelector('.run[data-status=completed]');
    await page.click('.run a');
    await page.click('.facts a:has-text("plain@1")');
    await text(page, 'h1', 'plain');

    // A sweep uses param names, and the server's problem is shown at its axis.
    await page.click('[data-test=vary]');
    await page.selectOption('.axis select', 'width');
    await page.fill('.axis textarea', '48 99999');
    await page.click('[data-test=run]');
    await text(page, '.axis .form-error', /99999|16384/);
    await page.fill('.axis textarea', '48 56');
    const [several] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.equal(several, '{"workflow": "plain", "params": {}, "sweep": {"width": [48, 56]}}');
    await page.click('.axis-head button');
    await count(page, '.axis', 0);

    // A new version, with a conflict in between.
    await visit(page, world.base, '#/submit');
    await page.click('[data-test=publish]');
    await page.fill('dialog input[name=name]', 'plain');
    await text(page, '#publish-state', 'Creates version 2.');
    await world.call('PUT', 'workflows/plain', { workflow: quick });
    await page.click('[data-test=publish-do]');
    await text(page, 'dialog .form-error', 'Changed by another user in the meantime. Try again.');
    await text(page, '#publish-state', 'Creates version 3.');
    await page.click('[data-test=publish-do]');
    await text(page, '.lead', /Version 3/);
    await page.selectOption('[data-test=version]', '1');
    await text(page, '.lead', /Version 1/);
    const [older] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    // The draft of version 1 is kept.
    assert.equal(older, '{"workflow": "plain@1", "params": {"width": 80}}');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await world.call('DELETE', 'workflows/another');
    await page.click('.crumbs a');
    await text(page, '.card[data-name=plain] .sub', /^Version 3 · 0 params · /);
    await page.click('.card[data-name=plain] a');
    await page.click('[data-test=delete]');
    await page.click('dialog .danger');
    await text(page, '.state h2', 'No published workflows');
    await close(page);
  });

  test('a missing required param is reported in the language of the page', async () => {
    const params = { prefix: { target: '2.filename_prefix', type: 'string', required: true } };
    await world.call('PUT', 'workflows/required', { workflow: quick, params });
    const page = await open(world, { route: '#/workflows/required', lang: 'zh-CN', allowed: [422] });
    await page.click('[data-test=run]');
    await text(page, '.submit-error li', '/params/prefix 请填写 prefix。');
    await text(page, '[data-input=".prefix"] .form-error', '请填写 prefix。');
    await world.call('DELETE', 'workflows/required');
    await close(page);
  });
};
