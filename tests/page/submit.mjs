// Submit: from a dropped document to a result, with every number exactly as written.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, open, text, visit } from './support/browser.mjs';
import { PIXEL, quick, withImage } from './support/workflows.mjs';

/** Drops a file on the page. */
export const drop = (page, name, content, type) =>
  page.evaluate(
    ([name, content, type]) => {
      const data = new DataTransfer();
      data.items.add(new File([content], name, { type }));
      document
        .querySelector('main')
        .dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    },
    [name, content, type],
  );

/** Resolves to the body of the next submit request. */
export const nextBody = (page) =>
  page
    .waitForRequest((request) => request.method() === 'POST' && /api\/tasks$/.test(request.url()))
    .then((request) => request.postData());

export default (world) => {
  test('a dropped workflow becomes a form; only changed values are sent, exactly as typed', async () => {
    const page = await open(world, { route: '#/submit' });
    const graph =
      '{"1": {"class_type": "TestSteps", "inputs": {"steps": 2, "seconds": 0.10, "seed": 18446744073709551615, "preview": false}}, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "p"}}}';
    await drop(page, 'a.json', graph, 'application/json');
    assert.equal(await page.inputValue('[data-input="1.seed"] input'), '18446744073709551615');
    assert.equal(await page.inputValue('[data-input="1.seconds"] input'), '0.10');
    await page.fill('[data-input="1.seed"] input', '18446744073709551614');
    await page.fill('[data-input="1.steps"] input', 'many');
    // An invalid value is reported only on submit, and does not take the focus from another field.
    await page.locator('[data-input="2.filename_prefix"] input').pressSequentially('qr');
    assert.equal(await page.inputValue('[data-input="2.filename_prefix"] input'), 'qrp');
    await page.fill('[data-input="2.filename_prefix"] input', 'it\'s "quoted"');
    await page.click('[data-test=run]');
    await text(page, '[data-input="1.steps"] .form-error', 'Enter a number.');
    await page.fill('[data-input="1.steps"] input', '2');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.equal(
      body,
      `{"workflow": ${graph}, "params": {"1": {"seed": 18446744073709551614}, "2": {"filename_prefix": "it's \\"quoted\\""}}}`,
    );
    await page.waitForSelector('.run');
    await close(page);
  });

  test('the sample runs to its image, and can be edited and rerun', async () => {
    const page = await open(world, { route: '#/submit' });
    await page.click('[data-test=sample]');
    await page.click('[data-input="3.seed"] .toggle');
    await page.click('[data-test=run]');
    await page.waitForSelector('.run[data-status=completed] img');
    await page.click('.run a');
    await text(page, '.head .badge', 'Completed');
    await text(page, '.facts', /Random seed for 3\.seed\d+/);
    await page.click('[data-test=again]');
    await page.waitForSelector('[data-test=run]');
    assert.match(await page.inputValue('[data-input="3.seed"] input'), /^\d+$/);
    await page.fill('[data-input="6.text"] textarea', 'a second thought');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.match(body, /"params": \{"6": \{"text": "a second thought"\}\}/);
    await page.waitForSelector('.run[data-status=completed]');
    await close(page);
  });

  test('an image is uploaded into a file field', async () => {
    const page = await open(world, { route: '#/submit' });
    await drop(page, 'b.json', JSON.stringify(withImage), 'application/json');
    await page.setInputFiles('[data-input="1.image"] input[type=file]', {
      name: 'photo.png',
      mimeType: 'image/png',
      buffer: PIXEL,
    });
    await text(page, '[data-input="1.image"] .names .mono', 'photo.png');
    const [body] = await Promise.all([nextBody(page), page.click('[data-test=run]')]);
    assert.match(body, /"params": \{"1": \{"image": \{"\$file":"[0-9a-f-]{36}"\}\}\}/);
    await page.waitForSelector('.run[data-status=completed] img');
    await close(page);
  });

  test('validation shows eligible instances and enqueues nothing', async () => {
    // Without input schemas the fields accept anything, so the server has to find the problem.
    const unavailable = {
      status: 503,
      contentType: 'application/json',
      body: '{"code":503,"message":"busy","error":{"type":"busy"}}',
    };
    const page = await open(world, {
      route: '#/submit',
      allowed: [422, 503],
      before: (page) => page.route(/api\/nodes/, (route) => route.fulfill(unavailable)),
    });
    await page.click('[data-test=sample]');
    const { total } = await world.call('GET', 'tasks?limit=1');
    await page.click('[data-test=check]');
    await text(page, '.submit-error strong', 'Ready to run.');
    await text(page, '.submit-error p', 'Eligible instances: 3.');
    assert.equal((await world.call('GET', 'tasks?limit=1')).total, total);
    await page.fill('[data-input="4.ckpt_name"] input', 'missing.safetensors');
    await page.click('[data-test=check]');
    await page.waitForSelector('[data-input="4.ckpt_name"] .form-error:not(:empty)');
    await close(page);
  });

  test('a document that is not a workflow is explained', async () => {
    const page = await open(world, { route: '#/submit', allowed: [400, 422] });
    await drop(page, 'ui.json', '{"nodes": [], "links": [], "version": 0.4}', 'application/json');
    await text(page, '.note-panel strong', 'This workflow is in the editor format.');
    await drop(page, 'x.json', '{"a": 1}', 'application/json');
    await text(page, '.note-panel strong', 'This JSON is not a ComfyUI workflow.');
    await drop(page, 'y.json', '{"3": {"class_type": oops}}', 'application/json');
    await text(page, '.note-panel p', /^Line 1, column 22/);
    // Problems reported by the server are listed.
    await page.evaluate(() => document.querySelector('[data-test=use]').scrollIntoView());
    await drop(
      page,
      'z.json',
      JSON.stringify({ workflow: quick, params: { '@missing.width': 3, '1.width': 128 } }),
      'application/json',
    );
    assert.equal(await page.inputValue('[data-input="1.width"] input'), '128');
    await page.click('[data-test=run]');
    await text(page, '.submit-error .problems', /@missing\.width/);
    await close(page);
  });

  test('a draft survives changes of view and language', async () => {
    const page = await open(world, { route: '#/submit' });
    await page.click('[data-test=sample]');
    await page.fill('[data-input="6.text"] textarea', 'kept');
    await page.click('[data-test=nav-tasks]');
    await page.click('[data-test=nav-submit]');
    assert.equal(await page.inputValue('[data-input="6.text"] textarea'), 'kept');
    await page.click('[data-test=language]');
    await text(page, 'h1', '提交');
    assert.equal(await page.inputValue('[data-input="6.text"] textarea'), 'kept');
    await visit(page, world.base, '#/submit');
    await close(page);
  });
};
