// A real Chromium, and pages that remember everything that went wrong in them.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const PATHS = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/snap/bin/chromium',
];

export async function launch() {
  const executablePath = PATHS.find((path) => path && existsSync(path));
  assert.ok(executablePath, 'no Chromium: install it, or name it in CHROMIUM');
  // Containers of a build have no user namespaces for Chromium's own sandbox; only our page is opened here.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** Contexts that no page is in: what the browser has of the page already is not fetched again by each test. */
const idle = new Map();

async function contextOf(browser, options) {
  const key = JSON.stringify(options);
  const found = idle.get(key)?.pop() ?? (await browser.newContext(options));
  found.give = () => idle.set(key, [...(idle.get(key) ?? []), found]);
  return found;
}

/**
 * Opens the page at a route, logged in (`login: 'form'` through the form, `false` not at all). `page.faults` collects exceptions, errors on the console and
 * violations of the policy; answers with these `allowed` statuses are no faults.
 */
export async function open(
  { browser, base, session },
  {
    route = '#/',
    lang = 'en-GB',
    theme = 'light',
    width = 1280,
    height = 860,
    login = true,
    before = () => {},
    allowed = [],
    ...more
  } = {},
) {
  const context = await contextOf(browser, { locale: lang, colorScheme: theme, ...more });
  const page = await context.newPage();
  await page.setViewportSize({ width, height });
  page.setDefaultTimeout(15_000);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(`exception: ${error.stack}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && !/Content Security Policy/i.test(message.text())) return;
    const status = Number(/status of (\d+)/.exec(message.text())?.[1]);
    // The first question for a preview is a 404, and so is each about a task that shows none.
    const isNoPreview = status === 404 && /\/preview$/.test(message.location().url);
    if (!isNoPreview && !allowed.includes(status)) page.faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  // A password costs the server a second of work; most tests are not about it.
  if (login === true)
    await page.addInitScript(
      (kept) => sessionStorage.getItem('shuzhiren.session') ?? sessionStorage.setItem('shuzhiren.session', kept),
      JSON.stringify(await session()),
    );
  await before(page);
  await page.goto(base + route);
  if (login === 'form') await logIn(page);
  await page.waitForSelector('main h1');
  return page;
}

export async function logIn(page, password = 'admin123') {
  await page.fill('input[name=username]', 'admin');
  await page.fill('input[name=password]', password);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.shell, .form-error:not(:empty)');
}

export async function visit(page, base, route) {
  await page.goto(base + route);
  await page.waitForSelector('main h1');
}

/** Closes the page; it must have been without fault. Its context is as new for the next: nothing is kept, and no other page is open. */
export async function close(page) {
  const context = page.context();
  await page.evaluate(() => localStorage.clear());
  await Promise.all(context.pages().map((other) => other.close()));
  context.give();
  assert.deepEqual(page.faults, []);
}

/** Waits for a text of an element, and tells what it was when it never comes. */
export async function text(page, selector, wanted) {
  const element = page.locator(selector).first();
  const matches = (value) => (wanted instanceof RegExp ? wanted.test(value ?? '') : value === wanted);
  const end = Date.now() + 15_000;
  for (;;) {
    const found = (await element.count()) ? await element.textContent() : null;
    if (matches(found)) return found;
    if (Date.now() > end) throw new Error(`${selector} says ${JSON.stringify(found)}, not ${wanted}`);
    await page.waitForTimeout(40);
  }
}
