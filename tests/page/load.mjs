// Much at once: 300 instances, 10,000 tasks, a flood of messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, open, text, visit } from './support/browser.mjs';
import { quick } from './support/workflows.mjs';

const INSTANCES = 300;
const TASKS = 10_000;
/** As many as one request may make. */
const BATCH = 1_000;
/** A frame that takes longer is felt. The machine of the tests does other things, too: a tenth of all may. */
const FRAME_MS = 100;
const HEAR_MS = 250;

/** Lengths of the frames while `act` runs. */
async function frames(page, act) {
  await page.evaluate(() => {
    window.lengths = [];
    let before = performance.now();
    const look = (now) => {
      window.lengths.push(now - before);
      before = now;
      window.looking = requestAnimationFrame(look);
    };
    window.looking = requestAnimationFrame(look);
  });
  await act();
  return page.evaluate(() => (cancelAnimationFrame(window.looking), window.lengths.sort((a, b) => a - b)));
}

const smooth = (lengths, what) => {
  const at = lengths[Math.floor(lengths.length * 0.9)];
  assert.ok(at < FRAME_MS, `${what}: nine of ten frames take up to ${at.toFixed(0)} ms, of ${lengths.length}`);
};

export default (world) => {
  test(`${INSTANCES} instances and ${TASKS} tasks stay smooth`, async () => {
    const config = await world.call('GET', 'config');
    const [own] = config.servers;
    // Nobody listens there: they are down, and the page has to say so of each.
    const ports = Array.from({ length: INSTANCES - world.standIns.length }, (_none, at) => 20_001 + at);
    await world.call('PUT', 'config', {
      servers: [
        { ...own, enabled: false },
        { id: 'many', name: 'many', ip: '127.0.0.2', ports, enabled: true },
      ],
    });
    for (let made = 0; made < TASKS; made += BATCH) await world.call('POST', 'tasks', { workflow: quick, count: BATCH });
    const page = await open(world);
    await page.waitForFunction((count) => document.querySelectorAll('.tile').length === count, INSTANCES);
    smooth(
      await frames(page, async () => {
        for (let step = 0; step < 20; step += 1) {
          await page.mouse.wheel(0, 300);
          await page.waitForTimeout(30);
        }
      }),
      'scrolling the fleet',
    );
    await visit(page, world.base, '#/tasks');
    await text(page, '[role=status].faint', /^10,\d{3} tasks$|^\d\d,\d{3} tasks$/);
    await page.waitForFunction(() => document.querySelectorAll('.tr[data-id]').length === 50);
    // A flood: progress of tasks that are shown and of many that are not.
    const ids = await page.evaluate(() => [...document.querySelectorAll('.tr[data-id]')].map((row) => row.dataset.id));
    const folder = await page.evaluate(() => document.querySelector('script[type=module]').src.replace(/app\.js$/, ''));
    let spentMs = 0;
    const flood = async () => {
      spentMs = await page.evaluate(hearMuch, [folder, ids]);
    };
    smooth(await frames(page, flood), '10,000 messages in a second');
    // Hearing a message only notes it: what is shown is drawn once a frame.
    assert.ok(spentMs < HEAR_MS, `hearing 10,000 messages takes ${spentMs.toFixed(0)} ms`);
    assert.equal(await page.getAttribute(`.tr[data-id="${ids[0]}"] .bar`, 'aria-valuenow'), '78');
    await close(page);
  });
};

/** Runs in the page: 40 rounds of 250 messages; the time that the page's own work took. */
async function hearMuch([folder, ids]) {
  const { hear } = await import(`${folder}live/store.js`);
  let spent = 0;
  for (let round = 0; round < 40; round += 1) {
    const begin = performance.now();
    for (let at = 0; at < 250; at += 1) {
      const data = {
        taskId: ids[at] ?? `other-${round}-${at}`,
        status: 'running',
        attempt: 1,
        progress: round * 2,
        version: round,
      };
      hear({ type: 'task_progress', timestamp: Date.now(), data });
    }
    spent += performance.now() - begin;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return spent;
}
