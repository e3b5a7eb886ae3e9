// Instances, fleet config, files, connection loss.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, open, text, visit } from './support/browser.mjs';
import { PIXEL, quick, slow, withImage } from './support/workflows.mjs';

export default (world) => {
  test('an instance is disabled and enabled again', async () => {
    const id = `127.0.0.1:${world.standIns[0]}`;
    const page = await open(world, { route: '#/instances' });
    const row = `.tr[data-id="${id}"]`;
    await page.click(`${row} .switch`);
    await text(page, `${row} .badge`, 'Disabled');
    assert.equal((await world.call('GET', `instances/${id}`)).enabled, false);
    await page.click('.chip[data-status=off]');
    await page.waitForFunction(() => document.querySelectorAll('.instances .tr[data-id]').length === 1);
    await visit(page, world.base, `#/instances/${id}`);
    await text(page, '.head .badge', 'Disabled');
    await page.click('.head .switch');
    await text(page, '.head .badge', 'Idle');
    assert.equal((await world.call('GET', `instances/${id}`)).enabled, true);
    await text(page, '.facts', /0\.3\.64/);
    await close(page);
  });

  test('a change by another client appears without a reload', async () => {
    const id = `127.0.0.1:${world.standIns[1]}`;
    const page = await open(world, { route: '#/instances' });
    await page.waitForSelector(`.tr[data-id="${id}"] .switch:checked`);
    await world.call('PUT', `instances/${id}`, { enabled: false });
    await page.waitForSelector(`.tr[data-id="${id}"] .switch:not(:checked)`);
    await world.call('PUT', `instances/${id}`, { enabled: true });
    await page.waitForSelector(`.tr[data-id="${id}"] .switch:checked`);
    await close(page);
  });

  test('the config editor shows problems by line and a diff, and detects concurrent changes', async () => {
    const page = await open(world, { route: '#/config', allowed: [400, 422, 409] });
    await page.waitForSelector('.editor');
    const before = await page.inputValue('.editor');
    assert.ok(await page.isDisabled('[data-test=save]'));
    await page.fill('.editor', before.slice(0, -2));
    await text(page, '.editor-state', /^Line \d+, column \d+/);
    assert.ok(await page.isDisabled('[data-test=save]'));
    await page.fill('.editor', before.replace('"timeout": 10000', '"timeout": 1'));
    await page.waitForSelector('.diff [data-kind=added]');
    await page.click('[data-test=save]');
    await text(page, '[data-test=problems] code', '/healthCheck/timeout');
    // Another client saves in the meantime.
    await world.call('PUT', 'config', { healthCheck: { interval: 29_000 } });
    await page.fill('.editor', before.replace('"timeout": 10000', '"timeout": 9000'));
    await page.click('[data-test=save]');
    await text(page, '.note-panel strong', 'Another user saved the config in the meantime.');
    await page.click('.note-panel button');
    await text(page, '.diff', /29000/);
    await page.fill('.editor', (await page.inputValue('.editor')).replace('"interval": 30000', '"interval": 29000'));
    await page.click('[data-test=save]');
    await text(page, '.toast p', 'Config saved. It is now in effect.');
    const { healthCheck } = await world.call('GET', 'config');
    assert.deepEqual([healthCheck.interval, healthCheck.timeout], [29_000, 9_000]);
    await close(page);
  });

  test('files are uploaded by dropping and deleted; a file in use is kept, with a reason', async () => {
    const page = await open(world, { route: '#/files?kind=upload', allowed: [409] });
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['hello'], 'drüben & so.txt', { type: 'text/plain' }));
      document
        .querySelector('main')
        .dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await page.waitForSelector('.file-card strong:text-is("drüben & so.txt")');
    await page.setInputFiles('main input[type=file]', { name: 'used.png', mimeType: 'image/png', buffer: PIXEL });
    const card = page.locator('.file-card', { hasText: 'used.png' });
    await card.waitFor();
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.file-card img')].some((image) => image.naturalWidth === 1),
    );
    const fileId = await card.getAttribute('data-id');
    const remove = async () => {
      await card.locator('button').last().click();
      await page.click('dialog .danger');
    };
    const params = { image: { target: '1.image', type: 'image', default: fileId } };
    await world.call('PUT', 'workflows/uses-file', { workflow: withImage, params });
    await remove();
    const inUse = 'The file is used by the published workflow uses-file@1. Delete that workflow first.';
    await text(page, '.toast[data-kind=bad] p', inUse);
    await page.click('.toast[data-kind=bad] button');
    await world.call('DELETE', 'workflows/uses-file');
    for (const port of world.standIns) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: false });
    const { id } = await world.call('POST', 'tasks', { workflow: withImage, params: { '1.image': { $file: fileId } } });
    await remove();
    await text(page, '.toast[data-kind=bad] p', /The file is used by a waiting or running task/);
    await world.call('DELETE', `tasks/${id}`);
    for (const port of world.standIns) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: true });
    await remove();
    await card.waitFor({ state: 'detached' });
    assert.equal((await fetch(`${world.base}upload/file/${fileId}`)).status, 404);
    await close(page);
  });

  test('a lost connection is reported and restored automatically', async () => {
    const page = await open(world);
    await text(page, '.connection-state', 'Live');
    await world.stop();
    await text(page, '.connection-state', 'Reconnecting');
    await text(page, '.banner', /The server is unreachable\. Next try in|Connecting/);
    await text(page, '[data-test=count-instances]', /\d \/ 3/);
    await world.start();
    // The connection may return before the banner appears.
    await page.click('.banner button', { timeout: 400 }).catch(() => {});
    await text(page, '.connection-state', 'Live');
    await page.waitForSelector('.banner', { state: 'hidden' });
    // Messages arrive again after the reconnect.
    const { id } = await world.call('POST', 'tasks', { workflow: slow(1) });
    await page.waitForSelector(`.tr[data-id="${id}"]`);
    page.faults = page.faults.filter(
      (fault) => !/ERR_CONNECTION_REFUSED|WebSocket connection|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/.test(fault),
    );
    await close(page);
  });

  test('a queue that is down is a problem, although the socket is live', async () => {
    let down = true;
    const answer = (route) =>
      down
        ? route.fulfill({
            status: 503,
            json: {
              code: 503,
              message: 'down',
              data: { status: 'degraded', redis: 'disconnected', warnings: ['storage_reserve'] },
              error: { type: 'redis_unavailable', details: [], requestId: 'x' },
            },
          })
        : route.fulfill({ json: { code: 200, data: { status: 'ok', redis: 'connected', warnings: ['redis_unfit', 'not_confirmed'] } } });
    const page = await open(world, { before: (page) => page.route(/api\/health$/, answer), allowed: [503] });
    await text(page, '.problem-panel', /Redis does not answer/);
    await text(page, '.problem-panel', /disk of the file store/);
    await text(page, '.connection-state', 'Queue down');
    down = false;
    await text(page, '.problem-panel', /settings of Redis endanger tasks/);
    await text(page, '.problem-panel', /Writes are not confirmed/);
    await text(page, '.connection-state', 'Live');
    await close(page);
  });

  test('without a socket the page polls', async () => {
    const page = await open(world, {
      before: (page) => page.routeWebSocket(/\/ws$/, (socket) => socket.close({ code: 1001 })),
    });
    await text(page, '.connection-state', 'Reconnecting');
    await text(page, '[data-test=count-instances]', '3 / 3');
    const { id } = await world.call('POST', 'tasks', { workflow: quick });
    await page.waitForSelector(`.tr[data-id="${id}"]`);
    await close(page);
  });
};
