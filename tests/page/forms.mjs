// Forms as the instances declare them, the editor's own format, and when a task may begin.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, open, text, visit } from './support/browser.mjs';
import { quick, slow } from './support/workflows.mjs';
import { drop, nextBody } from './submit.mjs';

const declared = `{
  "1": {"class_type": "TestSteps", "inputs": {"steps": 2, "seconds": 0.10, "seed": 18446744073709551615, "preview": false, "image": ["4", 0]}},
  "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "p"}},
  "3": {"class_type": "NobodyHasThis", "inputs": {"steps": 2, "sampler_name": "euler"}},
  "4": {"class_type": "LoadImage", "inputs": {"image": "somewhere"}},
  "5": {"class_type": "KSampler", "inputs": {"sampler_name": "euler", "scheduler": "of yesterday"}}
}`;

/** What the editor saves: positions, links by number, values in the order of the widgets. */
const editors = `{"last_node_id": 2, "last_link_id": 1, "nodes": [
  {"id": 1, "type": "EmptyImage", "pos": [0, 0], "size": [200, 100], "flags": {}, "order": 0, "mode": 0, "inputs": [],
   "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}], "properties": {}, "widgets_values": [64, 64, 1, 3368601]},
  {"id": 2, "type": "SaveImage", "pos": [300, 0], "size": [200, 100], "flags": {}, "order": 1, "mode": 0,
   "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "outputs": [], "properties": {}, "widgets_values": ["edited"]}],
 "links": [[1, 1, 0, 2, 0, "IMAGE"]], "groups": [], "config": {}, "extra": {}, "version": 0.4}`;

export default (world) => {
  test('fields have the types, bounds and choices that the instances declare', async () => {
    const page = await open(world, { route: '#/submit' });
    await drop(page, 'a.json', declared, 'application/json');
    await text(page, '[data-input="1.steps"] .sub', '1 to 10000 · default 4');
    await page.fill('[data-input="1.steps"] input', '0');
    await page.click('[data-test=run]');
    await text(page, '[data-input="1.steps"] .form-error', 'It must be at least 1.');
    await page.fill('[data-input="1.steps"] input', '2.5');
    await page.click('[data-test=run]');
    await text(page, '[data-input="1.steps"] .form-error', 'A whole number is needed here.');
    await page.fill('[data-input="1.steps"] input', '3');
    assert.equal(await page.locator('[data-input="4.image"] .file-field').count(), 1);
    assert.equal(await page.inputValue('[data-input="5.sampler_name"] select'), '"euler"');
    const offered = await page.$$eval('[data-input="5.sampler_name"] option', (options) => options.map((one) => one.value));
    assert.ok(offered.includes('"dpmpp_2m"'), `${offered}`);
    await text(page, '[data-input="5.scheduler"] option', 'of yesterday (no instance offers it)');
    await page.selectOption('[data-input="5.sampler_name"] select', '"dpmpp_2m"');
    // Of a class that nobody has, fields are as they were guessed.
    assert.equal(await page.locator('[data-input="3.sampler_name"] input').count(), 1);
    await page.fill('[data-input="3.steps"] input', '0');
    await page.click('.sticky summary');
    const preview = await page.textContent('.sticky pre');
    assert.match(preview, /"params": \{"1": \{"steps": 3\}, "3": \{"steps": 0\}, "5": \{"sampler_name": "dpmpp_2m"\}\}/);
    await close(page);
  });

  test('what the instances declare is asked for once, then only whether it changed', async () => {
    const page = await open(world, { route: '#/submit' });
    const asked = [];
    page.on('response', (response) => /api\/nodes\?/.test(response.url()) && asked.push(response));
    await drop(page, 'a.json', declared, 'application/json');
    await page.waitForSelector('[data-input="1.steps"] .sub');
    await page.click('[data-test=other]');
    await page.waitForSelector('[data-test=drop]');
    await drop(page, 'a.json', declared, 'application/json');
    await page.waitForSelector('[data-input="1.steps"] .sub');
    const told = await Promise.all(
      asked.map(async (response) => [response.status(), 'if-none-match' in (await response.request().allHeaders())]),
    );
    assert.deepEqual(told, [
      [200, false],
      [304, true],
    ]);
    await close(page);
  });

  test("the editor's own format becomes a form, and is sent as it came", async () => {
    const page = await open(world, { route: '#/submit', allowed: [422] });
    await drop(page, 'editor.json', editors, 'application/json');
    assert.equal(await page.inputValue('[data-input="2.filename_prefix"] input'), 'edited');
    await text(page, '[data-test=warnings]', "This was in the editor's format; the server converted it.");
    await page.fill('[data-input="1.width"] input', '96');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.equal(body, `{"workflow": ${editors}, "params": {"1": {"width": 96}}}`);
    await page.waitForSelector('.run[data-status=completed] img');
    await page.click('[data-test=other]');
    await drop(page, 'b.json', editors.replace('"EmptyImage"', '"NobodyHasThis"'), 'application/json');
    await text(page, '.note-panel strong', "This is the editor's own format.");
    await text(page, '.note-panel .problems', /NobodyHasThis/);
    await close(page);
  });

  test('a waiting task says when it may begin, and a check how long it would run', async () => {
    const { id: first } = await world.call('POST', 'tasks', { workflow: slow(1) });
    await world.until(first, (task) => task.status === 'completed', 'completed');
    for (const port of world.standIns.slice(1)) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: false });
    const { id: running } = await world.call('POST', 'tasks', { workflow: slow(30) });
    await world.until(running, (task) => task.status === 'running', 'running');
    const { id } = await world.call('POST', 'tasks', { workflow: quick });
    const page = await open(world, { route: `#/tasks/${id}` });
    await text(page, '.doing', /^Waits for .+ · begins in about \d+ (s|min)$/);
    await text(page, '.facts', /Place in its lane1 · about \d+ (s|min)/);
    await visit(page, world.base, '#/submit');
    await page.click('[data-test=sample]');
    await page.click('[data-test=check]');
    await text(page, '.submit-error', /It would begin in about \d+ (s|min)\. It would run for about \d+ (s|min)\./);
    await close(page);
  });
};
