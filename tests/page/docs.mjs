// The page of the API document at /docs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, open } from './browser.mjs';
import { findings } from './look.mjs';

export default (world) => {
  test('the API document is shown whole, without login, from here alone, wide and narrow, in both themes', async () => {
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
      await page.$$eval('.operation', (all) => all.forEach((one) => (one.open = true)));
      await page.waitForFunction((count) => document.querySelectorAll('.operation .body').length === count, ids.length);
      assert.deepEqual(await findings(page), [], `${width} ${theme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} pixels too wide at ${width}`);
      assert.deepEqual(foreign, []);
      await close(page);
    }
  });
};
