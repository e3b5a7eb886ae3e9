// Tasks: live progress, outputs of every kind, failures, waiting reasons, cancelling, filters, retry.

import assert from 'node:assert/strict';
import { test } from './support/test.mjs';
import { close, count, open, text, visit } from './support/browser.mjs';
import { failing, film, quick, slow, sound, words } from './support/workflows.mjs';

export default (world) => {
  test('progress is live in the list, the task view and the fleet', async () => {
    const page = await open(world, { route: '#/tasks' });
    const navigations = [];
    page.on('request', (request) => request.isNavigationRequest() && navigations.push(request.url()));
    const { id } = await world.call('POST', 'tasks', { workflow: slow(12) });
    await page.waitForSelector(`.tr[data-id="${id}"][data-status=running]`);
    const seen = new Set();
    for (let look = 0; look < 100 && seen.size < 10; look += 1) {
      seen.add(await page.getAttribute(`.tr[data-id="${id}"] .bar`, 'aria-valuenow'));
      await page.waitForTimeout(50);
    }
    // The list also redraws its durations each second, so expect more updates than that.
    assert.ok(seen.size >= 10, `the bar moves: ${[...seen]}`);
    await page.click('[data-test=nav-overview]');
    await page.waitForSelector('.tile[data-busy] .bar[data-state=running]');
    await text(page, '.tile[data-busy] .percent', /^\d+ %$/);
    await page.evaluate((id) => (location.hash = `#/tasks/${id}`), id);
    await text(page, '.activity', /^Running “Slow steps” · \d+ \/ 120 · /);
    await page.waitForSelector('.node[data-state=current]');
    await text(page, '.head .badge', 'Completed');
    await page.waitForSelector('.output img');
    assert.deepEqual(navigations, [], 'the document was not reloaded');
    await close(page);
  });

  test('every kind of output is shown, and text is never parsed as markup', async () => {
    const page = await open(world);
    const made = await Promise.all(
      [quick, words, sound, film].map(async (workflow) => (await world.call('POST', 'tasks', { workflow })).id),
    );
    await Promise.all(made.map((id) => world.until(id, (task) => task.status === 'completed', 'completed')));
    const [picture, writing, audio, video] = made;
    await visit(page, world.base, `#/tasks/${picture}`);
    await page.waitForFunction(() => document.querySelector('.output img')?.naturalWidth === 64);
    await visit(page, world.base, `#/tasks/${audio}`);
    await page.waitForSelector('.output audio');
    await visit(page, world.base, `#/tasks/${video}`);
    await page.waitForSelector('.output video');
    await visit(page, world.base, `#/tasks/${writing}`);
    await text(page, '.output-text', '<img src=x onerror=alert(1)>');
    assert.equal(await page.locator('img[src=x]').count(), 0);
    await close(page);
  });

  test('a failure names its node and shows the traceback', async () => {
    const page = await open(world);
    const { id } = await world.call('POST', 'tasks', { workflow: failing });
    await visit(page, world.base, `#/tasks/${id}`);
    await text(page, '.failure h2', 'Node failed');
    await text(page, '.failure', /Failing steps · TestSteps · #2/);
    await page.click('.failure summary');
    await page.waitForSelector('.failure pre:visible');
    await page.waitForSelector('.node[data-state=failed]');
    await close(page);
  });

  test('a waiting task shows the reason in the language of the page', async () => {
    for (const port of world.standIns) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: false });
    const { id } = await world.call('POST', 'tasks', { workflow: quick });
    const page = await open(world, { route: `#/tasks/${id}`, lang: 'zh-CN' });
    await text(page, '.activity', '等待启用实例（全部已停用），排在首位');
    await page.click('[data-test=language]');
    await text(page, '.activity', 'Waiting for an instance: all are disabled, next in line');
    await visit(page, world.base, '#/');
    await text(page, '.problem-panel', /All instances are disabled/);
    for (const port of world.standIns) await world.call('PUT', `instances/127.0.0.1:${port}`, { enabled: true });
    await text(page, '.problem-panel', 'No problems');
    await world.until(id, (task) => task.status === 'completed', 'completed');
    await close(page);
  });

  test('a running task can be cancelled after a confirmation', async () => {
    const page = await open(world);
    const { id } = await world.call('POST', 'tasks', { workflow: slow(20) });
    await world.until(id, (task) => task.status === 'running', 'running');
    await visit(page, world.base, `#/tasks/${id}`);
    await page.click('[data-test=cancel]');
    await page.click('dialog button:has-text("Go back")');
    assert.equal((await world.call('GET', `tasks/${id}`)).status, 'running');
    await page.click('[data-test=cancel]');
    await page.click('dialog .danger');
    await text(page, '.head .badge', 'Cancelled');
    assert.equal((await world.call('GET', `tasks/${id}`)).status, 'cancelled');
    await count(page, '[data-test=cancel]', 0);
    await close(page);
  });

  test('filter and page are part of the route', async () => {
    const page = await open(world, { route: '#/tasks?status=failed' });
    await page.waitForSelector('.tr[data-status=failed]');
    assert.equal(await page.locator('.tr[data-id]:not([data-status=failed])').count(), 0);
    assert.equal(await page.getAttribute('.chip[data-status=failed]', 'aria-pressed'), 'true');
    await page.click('.chip[data-status=cancelled]');
    await page.waitForURL(/status=failed%2Ccancelled/);
    await page.waitForSelector('.tr[data-status=cancelled]');
    await page.goBack();
    await page.waitForFunction(() => !document.querySelector('.tr[data-status=cancelled]'));
    await visit(page, world.base, '#/tasks?page=999');
    await text(page, '.state h2', 'This page is empty');
    await visit(page, world.base, '#/tasks/00000000-0000-7000-8000-000000000000').catch(() => {});
    await text(page, '.state h2', 'Task not found');
    page.faults = page.faults.filter((fault) => !/404/.test(fault));
    await close(page);
  });

  test('the retry button disappears if the server does not support retry', async () => {
    const { id } = await world.call('POST', 'tasks', { workflow: failing });
    await world.until(id, (task) => task.status === 'failed', 'failed');
    const answer = (status) => ({
      status,
      contentType: 'application/json',
      body: JSON.stringify(
        status === 200
          ? { code: 200, data: { id } }
          : { code: status, message: 'there is no such path', error: { type: 'not_found', details: [], requestId: 'x' } },
      ),
    });
    for (const [status, message, buttons] of [
      [200, 'Task queued again.', 1],
      [404, 'This server does not support retry. Use “Edit and rerun” to submit a new task.', 0],
    ]) {
      const page = await open(world, { route: `#/tasks/${id}`, allowed: [404] });
      await page.route('**/retry', (route) => route.fulfill(answer(status)));
      await page.click('[data-test=retry]');
      await text(page, '.toast p', message);
      await page.waitForFunction((count) => document.querySelectorAll('[data-test=retry]').length === count, buttons);
      await close(page);
    }
  });
};
