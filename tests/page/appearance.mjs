// Languages, themes, accessibility, keyboard, small screens, Content Security Policy.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from './support/test.mjs';
import { close, open, text, visit } from './support/browser.mjs';
import { failing, quick, slow } from './support/workflows.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Returns the serious and critical findings of axe-core. */
export async function findings(page) {
  // Changing the route keeps the document, so load axe once.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .map((node) => `${node.html} ${node.failureSummary}`)
          .slice(0, 3)
          .join(' | ')}`,
    );
}

/** Fills a sweep of two inputs, one with an error, and opens the request preview. */
async function fillSweep(page) {
  for (const [at, address] of ['1.width', '2.filename_prefix'].entries()) {
    await page.click('[data-test=vary]');
    await page.locator('.axis select').nth(at).selectOption(address);
  }
  await page.fill('.axis textarea', '64 many');
  await page.click('[data-test=run]');
  await page.click('.sticky summary');
}

export default (world) => {
  test('the language follows the browser, can be switched, and is remembered', async () => {
    const page = await open(world, { lang: 'zh-CN', login: false });
    await text(page, 'h1', '登录');
    assert.equal(await page.getAttribute('html', 'lang'), 'zh-CN');
    await page.click('[data-test=language]');
    await text(page, 'h1', 'Log in');
    await page.reload();
    await text(page, 'h1', 'Log in');
    assert.equal(await page.getAttribute('html', 'lang'), 'en');
    await close(page);
  });

  test('the theme follows the browser, can be switched, and is remembered', async () => {
    const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const page = await open(world, { theme: 'dark' });
    const dark = await background(page);
    await page.click('[data-test=theme]');
    assert.equal(await page.getAttribute('html', 'data-theme'), 'light');
    const light = await background(page);
    assert.notEqual(light, dark);
    await page.reload();
    await page.waitForSelector('.shell');
    assert.equal(await background(page), light);
    await page.click('[data-test=theme]');
    assert.equal(await background(page), dark);
    await page.click('[data-test=theme]');
    await page.emulateMedia({ colorScheme: 'light' });
    assert.equal(await background(page), light);
    await close(page);
  });

  test('axe-core finds nothing serious on any view, in both themes and languages, wide and narrow', async () => {
    const { id } = await world.call('POST', 'tasks', { workflow: failing });
    await world.until(id, (task) => task.status === 'failed', 'failed');
    const running = (await world.call('POST', 'tasks', { workflow: slow(120) })).id;
    const { batchId } = await world.call('POST', 'tasks', { workflow: quick, count: 1 });
    // The longest possible name, without a place to break it.
    const name = 'long'.padEnd(64, 'Name');
    await world.call('PUT', `workflows/${name}`, {
      workflow: quick,
      params: { width: { target: '1.width', type: 'integer' } },
    });
    const done = (await world.call('POST', 'tasks', { workflow: name })).id;
    await world.until(done, (task) => task.status === 'completed', 'completed');
    const routes = [
      '#/',
      '#/tasks',
      `#/tasks?batch=${batchId}`,
      `#/tasks/${id}`,
      `#/tasks/${done}`,
      `#/tasks/${running}`,
      '#/submit',
      `#/submit?from=${done}`,
      '#/workflows',
      `#/workflows/${name}`,
      `#/tasks?workflow=${name}`,
      '#/instances',
      `#/instances/127.0.0.1:${world.standIns[0]}`,
      '#/config',
      '#/files',
      '#/account',
      '#/nowhere',
    ];
    const all = [];
    for (const options of [
      { theme: 'light', lang: 'en-GB', width: 1440 },
      { theme: 'dark', lang: 'zh-CN', width: 390 },
    ]) {
      const page = await open(world, options);
      for (const route of routes) {
        await visit(page, world.base, route);
        await page.waitForFunction(() => !document.querySelector('.skeleton'));
        // A form with every kind of element.
        if (route.includes('?from=')) await fillSweep(page);
        for (const finding of await findings(page)) all.push(`${route} ${options.theme} ${options.width}: ${finding}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(wide <= 0, `${route} at ${options.width} overflows horizontally by ${wide} px`);
      }
      await page.click('[data-test=logout]');
      await page.waitForSelector('.login');
      for (const finding of await findings(page)) all.push(`login ${options.theme}: ${finding}`);
      await close(page);
    }
    await world.call('DELETE', `tasks/${running}`);
    assert.deepEqual(all, []);
  });

  test('everything is reachable by keyboard, and a new view focuses its heading', async () => {
    const page = await open(world);
    await page.keyboard.press('g');
    await page.keyboard.press('t');
    await text(page, 'h1', 'Tasks');
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
    assert.equal(await page.title(), 'Tasks · shuzhiren');
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.type), 'search');
    await page.keyboard.type('g s');
    await text(page, 'h1', 'Tasks');
    await visit(page, world.base, '#/');
    await page.evaluate(() => document.activeElement.blur());
    await page.reload();
    await page.waitForSelector('.shell');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open] kbd');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    // Navigating closes an open dialog.
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]');
    await page.evaluate(() => (location.hash = '#/account'));
    await page.waitForSelector('dialog', { state: 'detached' });
    await text(page, '.facts dd', 'admin');
    assert.equal(await page.getAttribute('.account', 'aria-current'), 'page');
    await page.click('main .panel .button');
    await page.waitForURL(/\/docs$/);
    await close(page);
  });

  test('loading shows a placeholder, and a failed request its reason', async () => {
    let isUnavailable = false;
    const unavailable = {
      status: 503,
      contentType: 'application/json',
      body: '{"code":503,"message":"x","error":{"type":"busy"}}',
    };
    const before = (page) => page.route(/api\/tasks\?/, (route) => isUnavailable && route.fulfill(unavailable));
    const page = await open(world, { route: '#/tasks', before, allowed: [503] });
    const shapes = page.locator('.skeleton');
    assert.ok((await shapes.count()) > 3 && (await shapes.first().boundingBox())?.height > 8, 'never blank');
    isUnavailable = true;
    await page.click('.chip[data-status=failed]');
    await text(page, '.state p', 'The server is busy.');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.click('.state button');
    await page.waitForSelector('.tr[data-status=failed], .state h2:text-is("No matching tasks")');
    await close(page);
  });

  test('the Content Security Policy blocks inline scripts', async () => {
    const page = await open(world);
    const violation = page.evaluate(
      () =>
        new Promise((resolve) =>
          document.addEventListener('securitypolicyviolation', (event) => resolve(event.effectiveDirective), { once: true }),
        ),
    );
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.ran = true';
      document.body.append(script);
    });
    assert.equal(await violation, 'script-src-elem');
    assert.equal(await page.evaluate(() => window.ran), undefined);
    page.faults = page.faults.filter((fault) => !/Content Security Policy/.test(fault));
    const response = await fetch(world.base);
    assert.match(response.headers.get('content-security-policy'), /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
    await close(page);
  });

  test('a view that throws shows an error, and the others still work', async () => {
    const broken = { contentType: 'text/javascript', body: "export function tasks() { throw new Error('on purpose'); }" };
    const page = await open(world, { before: (page) => page.route('**/views/tasks.js', (route) => route.fulfill(broken)) });
    await page.click('[data-test=nav-tasks]');
    await text(page, 'h1', 'Something went wrong');
    await page.click('[data-test=nav-files]');
    await text(page, 'h1', 'Files');
    assert.equal(page.faults.filter((fault) => /on purpose/.test(fault)).length, 1);
    page.faults = [];
    await close(page);
  });

  test('the program prints the address of the page first', async () => {
    assert.match(world.greeting(), new RegExp(`^shuzhiren is up\\n  open +${world.base.slice(0, -1)}\\n`));
  });
};
