// The API reference at /docs.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, open } from './support/browser.mjs';
import { findings } from './appearance.mjs';

export default (world) => {
  test('the API reference shows every operation, without login or foreign requests, at both widths and themes', async () => {
    const api = await (await fetch(`${world.base}api/openapi.json`)).json();
    const ids = Object.values(api.paths).flatMap((item) => Object.values(item).map((one) => one.operationId));
    for (const [width, theme] of [
      [1440, 'light'],
      [390, 'dark'],
    ]) {
      const foreign = [];
      const listen = (page) => {
        page.on('request', (request) => request.url().startsWith(world.base) || foreign.push(request.url()));
      };
      const page = await open(world, { route: 'docs#submitTask', login: false, width, theme, before: listen });
      await page.waitForSelector('#submitTask .body');
      const shown = await page.$$eval('.operation', (all) => all.map((one) => one.id));
      assert.deepEqual(shown.sort(), [...ids].sort());
      assert.match(await page.textContent('#submitTask'), /maxAttempts.*Idempotency-Key|Idempotency-Key.*maxAttempts/s);
      await page.$$eval('.operation, .guide', (all) => all.forEach((one) => (one.open = true)));
      await page.waitForFunction((count) => document.querySelectorAll('.operation .body').length === count, ids.length);
      assert.deepEqual(await findings(page), [], `${width} ${theme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} px of horizontal overflow at ${width}`);
      assert.deepEqual(foreign, []);
      await close(page);
    }
  });

  test('the guides are shown in both languages, with tables, lists and code', async () => {
    const page = await open(world, { route: 'docs#websocket', login: false });
    await page.waitForSelector('#websocket .guide[open]');
    const shape = () =>
      page.$eval('#websocket .prose', (one) => ['tr', 'li', 'pre', 'strong'].map((name) => one.querySelectorAll(name).length));
    const english = await shape();
    assert.ok(
      english.every((count) => count > 0),
      english,
    );
    assert.match(await page.textContent('#websocket'), /resync.*A slow client first loses progress messages/s);
    assert.doesNotMatch(await page.textContent('#websocket .prose p'), /[*`|]/);
    await page.click('[data-test=language]');
    assert.match(await page.textContent('#websocket'), /resync.*读取过慢的客户端/s);
    assert.deepEqual(await shape(), english);
    await page.reload();
    await page.waitForSelector('#websocket [lang=zh-CN]');
    await close(page);
  });
};
