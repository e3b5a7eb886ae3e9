// Outputs: thumbnails, outputs shown before the task ends, live previews.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, open, text, visit } from './support/browser.mjs';
import { PIXEL, sound, twofold, withImage } from './support/workflows.mjs';
import { s3 } from './support/s3.mjs';
import { stack } from './support/stack.mjs';
import { drop } from './submit.mjs';

const large = {
  1: { class_type: 'EmptyImage', inputs: { width: 1600, height: 1200, batch_size: 1, color: 3368601 } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'large' } },
};

/** Waits until an image is loaded, and returns its width. */
const width = async (page, selector) => {
  await page.waitForFunction((selector) => document.querySelector(selector)?.naturalWidth > 0, selector);
  return page.$eval(selector, (image) => image.naturalWidth);
};

async function completed(world, workflow) {
  const { id } = await world.call('POST', 'tasks', { workflow });
  return world.until(id, (task) => task.status === 'completed', 'completed');
}

/** Checks that the page loads the metadata of a file that the workflow names by id, and reports a deleted one. */
async function checkFileById(page, system) {
  const form = new FormData();
  form.append('file', new Blob([PIXEL], { type: 'image/png' }), 'drüben & so.png');
  const { token } = await system.session();
  const headers = { Authorization: `Bearer ${token}` };
  const sent = await fetch(`${system.base}api/files/upload`, { method: 'POST', body: form, headers });
  const { fileId } = (await sent.json()).data;
  const graph = structuredClone(withImage);
  graph[1].inputs.image = { $file: fileId };
  await visit(page, system.base, '#/submit');
  await drop(page, 'a.json', JSON.stringify(graph), 'application/json');
  await text(page, '.file-shown .mono', 'drüben & so.png');
  await text(page, '.file-shown .sub', /· 70 B$/);
  await page.waitForFunction(() => document.querySelector('.file-thumb')?.naturalWidth === 1);
  await system.call('DELETE', `files/${fileId}`);
  await page.click('[data-test=other]');
  await drop(page, 'a.json', JSON.stringify(graph), 'application/json');
  await text(page, '.file-shown .sub', 'File no longer exists');
  page.faults = page.faults.filter((fault) => !/status of 404/.test(fault));
}

export default (world) => {
  test('lists, files and outputs show thumbnails and link to the original', async () => {
    const { id, result } = await completed(world, large);
    const page = await open(world, { route: '#/tasks' });
    const whole = [];
    page.on('request', (request) => /upload\/file\/[^?]*$/.test(request.url()) && whole.push(request.url()));
    assert.equal(await width(page, `.tr[data-id="${id}"] img`), 64);
    await visit(page, world.base, '#/files?kind=output');
    const card = `.file-card[data-id="${result.outputs[0].fileId}"]`;
    assert.equal(await width(page, `${card} img`), 256);
    await visit(page, world.base, `#/tasks/${id}`);
    assert.equal(await width(page, '.output img'), 1024);
    assert.deepEqual(whole, [], 'no original was downloaded');
    const href = await page.$eval('.output a', (link) => link.href);
    assert.equal(href, result.outputs[0].url);
    await close(page);
  });

  test('without a thumbnail the original is shown, and without that an icon', async () => {
    const { id } = await completed(world, large);
    const page = await open(world, {
      route: `#/tasks/${id}`,
      allowed: [415],
      before: (page) => page.route(/[?&]w=\d+/, (route) => route.fulfill({ status: 415, body: '{}' })),
    });
    assert.equal(await width(page, '.output img'), 1600);
    await page.unrouteAll();
    await visit(page, world.base, '#/files?kind=upload');
    const broken = { name: 'broken.png', mimeType: 'image/png', buffer: PIXEL.subarray(0, 36) };
    await page.setInputFiles('main input[type=file]', broken);
    const card = page.locator('.file-card', { hasText: 'broken.png' });
    await card.locator('.picture svg').waitFor();
    assert.equal(await card.locator('img').count(), 0);
    await world.call('DELETE', `files/${await card.getAttribute('data-id')}`);
    await close(page);
  });

  test('signed links redirected to the store show thumbnails, originals and audio', async () => {
    const store = await s3();
    const system = await stack(1, [...store.flags, '--redirect-downloads', '--link-ttl', '1h']);
    const whole = /\/upload\/file\/[^?]+\?(?!.*\bw=)/;
    try {
      const page = await open({ ...world, ...system }, { allowed: [415] });
      const redirected = new Set();
      page.on('response', (response) => whole.test(response.url()) && redirected.add(response.status()));
      const { id } = await completed(system, large);
      await visit(page, system.base, `#/tasks/${id}`);
      assert.equal(await width(page, '.output img'), 1024);
      const href = await page.$eval('.output a', (link) => link.href);
      assert.match(href, /[?&]signature=/);
      const answer = await fetch(href);
      assert.deepEqual([answer.status, new URL(answer.url).origin], [200, store.origin]);
      await visit(page, system.base, '#/files');
      assert.equal(await width(page, '.file-card img'), 256);
      // Images and audio from another origin: browsers apply the policy again after the redirect.
      await page.route(/[?&]w=\d+/, (route) => route.fulfill({ status: 415, body: '{}' }));
      await visit(page, system.base, `#/tasks/${id}`);
      // Reload, because a document reuses images that it has already shown.
      await page.reload();
      assert.equal(await width(page, '.output img'), 1600);
      const audioLoaded = page.waitForResponse(
        (response) => response.url().startsWith(store.origin) && /audio/.test(response.url()),
      );
      await visit(page, system.base, `#/tasks/${(await completed(system, sound)).id}`);
      assert.ok((await audioLoaded).ok());
      assert.deepEqual([...redirected], [302]);
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await checkFileById(page, system);
      await close(page);
    } finally {
      await system.end();
      await store.end();
    }
  });

  test('outputs appear as the socket reports them and are not redrawn', async () => {
    const page = await open(world);
    // Hold back API responses about the running task, so that only the socket delivers updates.
    let release;
    const released = new Promise((resolve) => (release = resolve));
    await page.route(/api\/tasks\/[^/]+\?include=workflow/, async (route) => {
      const answer = await (await route.fetch()).json();
      if (answer.data.status === 'running') await released;
      await route.fulfill({ json: answer }).catch(() => {});
    });
    for (const port of world.standIns) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: false });
    const { id } = await world.call('POST', 'tasks', { workflow: twofold(5) });
    await visit(page, world.base, `#/tasks/${id}`);
    await text(page, '.head .badge', 'Waiting');
    await world.call('PUT', `instances/127.0.0.1:${world.standIns[0]}`, { enabled: true });
    await page.waitForSelector('.output img');
    assert.equal(await page.textContent('.head .badge'), 'Running');
    await page.$eval('.output', (figure) => (figure.dataset.mine = 'yes'));
    release();
    await text(page, '.head .badge', 'Completed');
    await page.waitForFunction(() => document.querySelectorAll('.output img').length === 2);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    assert.equal(await page.locator('.output[data-mine]').count(), 1, 'the first output was not redrawn');
    await close(page);
  });

  test('a running task shows its live preview, and polling stops when it ends', async () => {
    const { id } = await world.call('POST', 'tasks', { workflow: twofold(20) });
    const page = await open(world, { route: `#/tasks/${id}` });
    assert.ok((await width(page, '[data-test=preview]')) > 0);
    const first = await page.getAttribute('[data-test=preview]', 'src');
    assert.match(first, /^blob:/);
    await page.waitForFunction((first) => document.querySelector('[data-test=preview]').src !== first, first);
    await world.call('DELETE', `tasks/${id}`);
    await text(page, '.head .badge', 'Cancelled');
    await page.waitForSelector('.live-preview', { state: 'hidden' });
    assert.equal(await page.getAttribute('[data-test=preview]', 'src'), null);
    let requests = 0;
    page.on('request', (request) => /\/preview$/.test(request.url()) && (requests += 1));
    // Wait for two ticks of the poll timer.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 2_200)));
    assert.equal(requests, 0);
    await close(page);
  });
};
