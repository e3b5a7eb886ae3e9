// What tasks make, as it comes: small copies, outputs before the end, previews.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, open, text, visit } from './support/browser.mjs';
import { PIXEL, sound, twofold, withImage } from './support/workflows.mjs';
import { s3 } from './support/s3.mjs';
import { stack } from './support/stack.mjs';
import { drop } from './submit.mjs';

const large = {
  1: { class_type: 'EmptyImage', inputs: { width: 1600, height: 1200, batch_size: 1, color: 3368601 } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'large' } },
};

/** Widths of a loaded picture. */
const width = async (page, selector) => {
  await page.waitForFunction((selector) => document.querySelector(selector)?.naturalWidth > 0, selector);
  return page.$eval(selector, (image) => image.naturalWidth);
};

async function made(world, workflow) {
  const { id } = await world.call('POST', 'tasks', { workflow });
  return world.until(id, (task) => task.status === 'completed', 'completed');
}

/** A workflow that names a stored file by its id alone: the page finds out what it is, or that it is gone. */
async function knownById(page, system) {
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
  await text(page, '.file-shown .sub', 'It is not stored any more');
  page.faults = page.faults.filter((fault) => !/status of 404/.test(fault));
}

export default (world) => {
  test('lists, files and outputs show small copies, and lead to the original', async () => {
    const { id, result } = await made(world, large);
    const page = await open(world, { route: '#/tasks' });
    const whole = [];
    page.on('request', (request) => /upload\/file\/[^?]*$/.test(request.url()) && whole.push(request.url()));
    assert.equal(await width(page, `.tr[data-id="${id}"] img`), 64);
    await visit(page, world.base, '#/files?kind=output');
    const card = `.file-card[data-id="${result.outputs[0].fileId}"]`;
    assert.equal(await width(page, `${card} img`), 256);
    await visit(page, world.base, `#/tasks/${id}`);
    assert.equal(await width(page, '.output img'), 1024);
    assert.deepEqual(whole, [], 'no original was fetched');
    const href = await page.$eval('.output a', (link) => link.href);
    assert.equal(href, result.outputs[0].url);
    await close(page);
  });

  test('where there is no small copy the original stands in, and then a sign', async () => {
    const { id } = await made(world, large);
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

  test('where links are signed and the store gives the bytes itself, all is shown and originals open', async () => {
    const store = await s3();
    const system = await stack(1, [...store.flags, '--redirect-downloads', '--link-ttl', '1h']);
    const whole = /\/upload\/file\/[^?]+\?(?!.*\bw=)/;
    try {
      const page = await open({ ...world, ...system }, { allowed: [415] });
      const redirected = new Set();
      page.on('response', (response) => whole.test(response.url()) && redirected.add(response.status()));
      const { id } = await made(system, large);
      await visit(page, system.base, `#/tasks/${id}`);
      assert.equal(await width(page, '.output img'), 1024);
      const href = await page.$eval('.output a', (link) => link.href);
      assert.match(href, /[?&]signature=/);
      const answer = await fetch(href);
      assert.deepEqual([answer.status, new URL(answer.url).origin], [200, store.origin]);
      await visit(page, system.base, '#/files');
      assert.equal(await width(page, '.file-card img'), 256);
      // Pictures and sounds from another origin: the policy is asked again after the redirect.
      await page.route(/[?&]w=\d+/, (route) => route.fulfill({ status: 415, body: '{}' }));
      await visit(page, system.base, `#/tasks/${id}`);
      // What a document has shown it shows again without asking.
      await page.reload();
      assert.equal(await width(page, '.output img'), 1600);
      const heard = page.waitForResponse((response) => response.url().startsWith(store.origin) && /audio/.test(response.url()));
      await visit(page, system.base, `#/tasks/${(await made(system, sound)).id}`);
      assert.ok((await heard).ok());
      assert.deepEqual([...redirected], [302]);
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await knownById(page, system);
      await close(page);
    } finally {
      await system.end();
      await store.end();
    }
  });

  test('outputs are shown as they come, told by the socket, and stay as they are', async () => {
    const page = await open(world);
    // Readings of the running task are held back: only the socket tells.
    let tell;
    const told = new Promise((resolve) => (tell = resolve));
    await page.route(/api\/tasks\/[^/]+\?include=workflow/, async (route) => {
      const answer = await (await route.fetch()).json();
      if (answer.data.status === 'running') await told;
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
    tell();
    await text(page, '.head .badge', 'Completed');
    await page.waitForFunction(() => document.querySelectorAll('.output img').length === 2);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    assert.equal(await page.locator('.output[data-mine]').count(), 1, 'the first was not drawn anew');
    await close(page);
  });

  test('a running task shows what its sampler shows, and asks no more when it has ended', async () => {
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
    let asked = 0;
    page.on('request', (request) => /\/preview$/.test(request.url()) && (asked += 1));
    // Its clock goes on: two of its ticks pass by.
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 2_200)));
    assert.equal(asked, 0);
    await close(page);
  });
};
