// Login, logout and session expiry.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, logIn, open, text, visit } from './support/browser.mjs';

export default (world) => {
  test('a wrong password is reported, the right one opens the overview', async () => {
    const page = await open(world, { login: false, allowed: [401] });
    await logIn(page, 'wrong');
    await text(page, '.form-error', 'Wrong username or password.');
    await logIn(page);
    await text(page, 'h1', 'Overview');
    await text(page, '.connection-state', 'Live');
    // The counts come from the socket.
    await text(page, '[data-test=count-instances]', '3 / 3');
    await close(page);
  });

  test('a session lasts for the tab, or for the browser if the user stays logged in', async () => {
    const page = await open(world, { login: 'form' });
    await page.reload();
    await text(page, 'h1', 'Overview');
    assert.equal(await page.evaluate(() => localStorage.getItem('shuzhiren.session')), null);
    await page.click('[data-test=logout]');
    await page.waitForSelector('.login');
    assert.equal(await page.evaluate(() => sessionStorage.getItem('shuzhiren.session')), null);
    await page.check('input[type=checkbox]');
    await logIn(page);
    assert.match(await page.evaluate(() => localStorage.getItem('shuzhiren.session')), /"token"/);
    const other = await page.context().newPage();
    await other.goto(world.base);
    await text(other, 'h1', 'Overview');
    // Logging out in one tab logs out all.
    await other.click('[data-test=logout]');
    await page.waitForSelector('.login');
    await close(page);
  });

  test('an expired session asks for a new login and keeps all input', async () => {
    const page = await open(world, { route: '#/submit', login: 'form', allowed: [401] });
    await page.click('[data-test=sample]');
    await page.fill('[data-input="6.text"] textarea', 'typed before the end');
    await page.evaluate(() => {
      const kept = JSON.parse(sessionStorage.getItem('shuzhiren.session'));
      sessionStorage.setItem('shuzhiren.session', JSON.stringify({ ...kept, token: `${kept.token.slice(0, -4)}AAAA` }));
    });
    await page.reload();
    await page.waitForSelector('dialog.login-over[open]');
    await page.keyboard.press('Escape');
    assert.ok(await page.isVisible('dialog.login-over[open]'), 'Escape does not close the login');
    await logIn(page);
    await page.waitForSelector('dialog.login-over', { state: 'detached' });
    await text(page, '.connection-state', 'Live');
    // The same during work, without a reload.
    await visit(page, world.base, '#/submit');
    await page.click('[data-test=sample]');
    await page.fill('[data-input="6.text"] textarea', 'typed before the end');
    await page.route('**/api/tasks', (route) =>
      route.fulfill({
        status: 401,
        contentType: 'application/json',
        body: '{"code":401,"message":"expired","error":{"type":"unauthorized","details":[],"requestId":"x"}}',
      }),
    );
    await page.click('[data-test=run]');
    await page.waitForSelector('dialog.login-over[open]');
    await page.unroute('**/api/tasks');
    await logIn(page);
    await page.waitForSelector('dialog.login-over', { state: 'detached' });
    assert.equal(await page.inputValue('[data-input="6.text"] textarea'), 'typed before the end');
    await page.click('[data-test=run]');
    await page.waitForSelector('.run[data-status=completed]');
    await close(page);
  });
};
