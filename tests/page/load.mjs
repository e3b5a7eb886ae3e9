// Load: 300 instances, 10,000 tasks, a flood of messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, open, text, visit } from './support/browser.mjs';
import { quick } from './support/workflows.mjs';

const INSTANCES = 300;
const TASKS = 10_000;
/** Most tasks per request. */
const BATCH = 1_000;
/** Longest smooth frame. A tenth of the frames may take longer, because the test machine is busy with other things. */
const FRAME_MS = 100;
/** Time limit for receiving all messages. */
const RECEIVE_MS = 250;

/** Returns the durations of the frames while `act` runs, sorted. */
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

const assertSmooth = (lengths, what) => {
  const at = lengths[Math.floor(lengths.length * 0.9)];
  assert.ok(at < FRAME_MS, `${what}: the 90th percentile of ${lengths.length} frames is ${at.toFixed(0)} ms`);
};

export default (world) => {
  test(`${INSTANCES} instances and ${TASKS} tasks are displayed smoothly`, async () => {
    const config = await world.call('GET', 'config');
    const [own] = config.servers;
    // Nothing listens on these ports, so the page has to show each instance as down.
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
    assertSmooth(
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
    // Progress of tasks that are shown, and of many that are not.
    const ids = await page.evaluate(() => [...document.querySelectorAll('.tr[data-id]')].map((row) => row.dataset.id));
    const folder = await page.evaluate(() => document.querySelector('script[type=module]').src.replace(/app\.js$/, ''));
    let spentMs = 0;
    const flood = async () => {
      spentMs = await page.evaluate(sendMessages, [folder, ids]);
    };
    assertSmooth(await frames(page, flood), '10,000 messages in a second');
    // Receiving a message only records it; drawing happens once per frame.
    assert.ok(spentMs < RECEIVE_MS, `receiving 10,000 messages took ${spentMs.toFixed(0)} ms`);
    assert.equal(await page.getAttribute(`.tr[data-id="${ids[0]}"] .bar`, 'aria-valuenow'), '78');
    await close(page);
  });
};

/** Runs in the page: delivers 40 batches of 250 messages. Returns the time spent in the page's handler. */
async function sendMessages([folder, ids]) {
  const { onMessage } = await import(`${folder}live/store.js`);
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
      onMessage({ type: 'task_progress', timestamp: Date.now(), data });
    }
    spent += performance.now() - begin;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return spent;
}
