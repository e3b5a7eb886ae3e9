// Form fields from input schemas, the editor format, and estimated start times.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, count, open, text, visit } from './support/browser.mjs';
import { quick, slow } from './support/workflows.mjs';
import { drop, nextBody } from './submit.mjs';

const declared = `{
  "1": {"class_type": "TestSteps", "inputs": {"steps": 2, "seconds": 0.10, "seed": 18446744073709551615, "preview": false, "image": ["4", 0]}},
  "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "p"}},
  "3": {"class_type": "UnknownClass", "inputs": {"steps": 2, "sampler_name": "euler"}},
  "4": {"class_type": "LoadImage", "inputs": {"image": "somewhere"}},
  "5": {"class_type": "KSampler", "inputs": {"sampler_name": "euler", "scheduler": "removed"}}
}`;

/** A document in the editor format: node positions, numbered links, widget values by position. */
const editorDocument = `{"last_node_id": 2, "last_link_id": 1, "nodes": [
  {"id": 1, "type": "EmptyImage", "pos": [0, 0], "size": [200, 100], "flags": {}, "order": 0, "mode": 0, "inputs": [],
   "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}], "properties": {}, "widgets_values": [64, 64, 1, 3368601]},
  {"id": 2, "type": "SaveImage", "pos": [300, 0], "size": [200, 100], "flags": {}, "order": 1, "mode": 0,
   "inputs": [{"name": "images", "type": "IMAGE", "link": 1}], "outputs": [], "properties": {}, "widgets_values": ["edited"]}],
 "links": [[1, 1, 0, 2, 0, "IMAGE"]], "groups": [], "config": {}, "extra": {}, "version": 0.4}`;

export default (world) => {
  test('fields have the types, bounds and options that instances declare', async () => {
    const page = await open(world, { route: '#/submit' });
    await drop(page, 'a.json', declared, 'application/json');
    await text(page, '[data-input="1.steps"] .sub', '1 to 10000 · default 4');
    await page.fill('[data-input="1.steps"] input', '0');
    await page.click('[data-test=run]');
    await text(page, '[data-input="1.steps"] .form-error', 'Must be at least 1.');
    await page.fill('[data-input="1.steps"] input', '2.5');
    await page.click('[data-test=run]');
    await text(page, '[data-input="1.steps"] .form-error', 'Enter a whole number.');
    await page.fill('[data-input="1.steps"] input', '3');
    await count(page, '[data-input="4.image"] .file-field', 1);
    assert.equal(await page.inputValue('[data-input="5.sampler_name"] select'), '"euler"');
    const offered = await page.$$eval('[data-input="5.sampler_name"] option', (options) => options.map((one) => one.value));
    assert.ok(offered.includes('"dpmpp_2m"'), `${offered}`);
    await text(page, '[data-input="5.scheduler"] option', 'removed (not offered by any instance)');
    await page.selectOption('[data-input="5.sampler_name"] select', '"dpmpp_2m"');
    // Fields of an unknown class have kinds guessed from their values.
    await count(page, '[data-input="3.sampler_name"] input', 1);
    await page.fill('[data-input="3.steps"] input', '0');
    await page.click('.sticky summary');
    const preview = await page.textContent('.sticky pre');
    assert.match(preview, /"params": \{"1": \{"steps": 3\}, "3": \{"steps": 0\}, "5": \{"sampler_name": "dpmpp_2m"\}\}/);
    await close(page);
  });

  test('input schemas are loaded once and then revalidated by ETag', async () => {
    const page = await open(world, { route: '#/submit' });
    const responses = [];
    page.on('response', (response) => /api\/nodes\?/.test(response.url()) && responses.push(response));
    await drop(page, 'a.json', declared, 'application/json');
    await page.waitForSelector('[data-input="1.steps"] .sub');
    await page.click('[data-test=other]');
    await page.waitForSelector('[data-test=drop]');
    await drop(page, 'a.json', declared, 'application/json');
    await page.waitForSelector('[data-input="1.steps"] .sub');
    const requests = await Promise.all(
      responses.map(async (response) => [response.status(), 'if-none-match' in (await response.request().allHeaders())]),
    );
    assert.deepEqual(requests, [
      [200, false],
      [304, true],
    ]);
    await close(page);
  });

  test('a document in the editor format becomes a form and is submitted unchanged', async () => {
    const page = await open(world, { route: '#/submit', allowed: [422] });
    await drop(page, 'editor.json', editorDocument, 'application/json');
    assert.equal(await page.inputValue('[data-input="2.filename_prefix"] input'), 'edited');
    await text(page, '[data-test=warnings]', 'Converted from the editor format.');
    await page.fill('[data-input="1.width"] input', '96');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.equal(body, `{"workflow": ${editorDocument}, "params": {"1": {"width": 96}}}`);
    await page.waitForSelector('.run[data-status=completed] img');
    await page.click('[data-test=other]');
    await drop(page, 'b.json', editorDocument.replace('"EmptyImage"', '"UnknownClass"'), 'application/json');
    await text(page, '.note-panel strong', 'This workflow is in the editor format.');
    await text(page, '.note-panel .problems', /UnknownClass/);
    await close(page);
  });

  test('a waiting task shows its estimated start, and validation the estimated run time', async () => {
    const { id: first } = await world.call('POST', 'tasks', { workflow: slow(1) });
    await world.until(first, (task) => task.status === 'completed', 'completed');
    for (const port of world.standIns.slice(1)) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: false });
    const { id: running } = await world.call('POST', 'tasks', { workflow: slow(30) });
    await world.until(running, (task) => task.status === 'running', 'running');
    const { id } = await world.call('POST', 'tasks', { workflow: quick });
    const page = await open(world, { route: `#/tasks/${id}` });
    await text(page, '.activity', /^Waiting for .+ · starts in about \d+ (s|min)$/);
    await text(page, '.facts', /Queue position1 · about \d+ (s|min)/);
    await visit(page, world.base, '#/submit');
    await page.click('[data-test=sample]');
    await page.click('[data-test=check]');
    await text(page, '.submit-error', /Would start in about \d+ (s|min)\. Would run for about \d+ (s|min)\./);
    await close(page);
  });
};
