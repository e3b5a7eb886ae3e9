// A real Chromium, and pages that record every error.

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

/** Starts Chromium from `CHROMIUM` or a usual path. */
export async function launch() {
  const executablePath = PATHS.find((path) => path && existsSync(path));
  assert.ok(executablePath, 'Chromium not found: install it, or set CHROMIUM');
  // Build containers lack the user namespaces that Chromium's sandbox needs. Only our own page is opened.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/** Contexts without an open page, reused so that each test does not download the page again. */
const idle = new Map();

async function contextOf(browser, options) {
  const key = JSON.stringify(options);
  const found = idle.get(key)?.pop() ?? (await browser.newContext(options));
  found.release = () => idle.set(key, [...(idle.get(key) ?? []), found]);
  return found;
}

/**
 * Opens the page at a route, logged in (`login: 'form'` through the form, `false` not at all). `page.faults` collects
 * exceptions, console errors and policy violations, except for responses with an `allowed` status.
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
    // A preview that does not exist yet is a 404.
    const isNoPreview = status === 404 && /\/preview$/.test(message.location().url);
    if (!isNoPreview && !allowed.includes(status)) page.faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  // Hashing a password takes the server a second, so most tests start with a stored session.
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

/** Fills in the login form and waits for the page or an error. */
export async function logIn(page, password = 'admin123') {
  await page.fill('input[name=username]', 'admin');
  await page.fill('input[name=password]', password);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.shell, .form-error:not(:empty)');
}

/** Navigates to a route. */
export async function visit(page, base, route) {
  await page.goto(base + route);
  await page.waitForSelector('main h1');
}

/** Closes the page, asserts that it recorded no fault, and releases its context with empty storage. */
export async function close(page) {
  const context = page.context();
  await page.evaluate(() => localStorage.clear());
  await Promise.all(context.pages().map((other) => other.close()));
  context.release();
  assert.deepEqual(page.faults, []);
}

/** Waits until the first match of `selector` has the wanted text. On timeout, the error contains the actual text. */
export async function text(page, selector, wanted) {
  const element = page.locator(selector).first();
  const matches = (value) => (wanted instanceof RegExp ? wanted.test(value ?? '') : value === wanted);
  const end = Date.now() + 15_000;
  for (;;) {
    const found = (await element.count()) ? await element.textContent() : null;
    if (matches(found)) return found;
    if (Date.now() > end) throw new Error(`${selector} has text ${JSON.stringify(found)}, expected ${wanted}`);
    await page.waitForTimeout(40);
  }
}

/** Waits until `selector` matches exactly `wanted` elements. */
export async function count(page, selector, wanted) {
  const found = page.locator(selector);
  const end = Date.now() + 15_000;
  while ((await found.count()) !== wanted) {
    if (Date.now() > end) throw new Error(`${await found.count()} elements match ${selector}, expected ${wanted}`);
    await page.waitForTimeout(40);
  }
}
