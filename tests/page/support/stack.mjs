// A complete system: `shuzhiren up` with stand-in instances, on free ports and in a temporary folder.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const START_MS = 30_000;
const STOP_MS = 20_000;

/** Path of the program under test: `SHUZHIREN_PROGRAM`, or the debug or release build. */
function program() {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target');
  const found = [process.env.SHUZHIREN_PROGRAM, join(target, 'debug', 'shuzhiren'), join(target, 'release', 'shuzhiren')].find(
    (path) => path && existsSync(path),
  );
  if (!found) throw new Error('program not found: run cargo build --bin shuzhiren');
  return found;
}

/** Returns ports that are currently free. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/**
 * `more` are flags. `{base, standIns, call(method, path, body), start(), stop(), end()}`; `stop` and `start` again keep
 * the address and the data.
 */
export async function stack(standInCount = 3, more = []) {
  const [listen, ...standIns] = await freePorts(1 + standInCount);
  const folder = await mkdtemp(join(tmpdir(), 'shuzhiren-page-'));
  const base = `http://127.0.0.1:${listen}/`;
  let child = null;
  let greeting = '';
  let session = null;

  async function start() {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(SHUZHIREN_|REDIS_URL)/.test(name)));
    const options = ['up', '--listen', `127.0.0.1:${listen}`, '--data-dir', folder, '--stand-ins', standIns.join(','), ...more];
    child = spawn(program(), options, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    greeting = '';
    child.stderr.on('data', (text) => (log = (log + text).slice(-20_000)));
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the program did not start:\n${log}`)), START_MS);
      child.once('exit', (code) => reject(new Error(`the program exited with ${code}:\n${log}`)));
      child.stdout.on('data', (text) => {
        greeting += text;
        if (!/stop +Ctrl-C/.test(greeting)) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }
  async function stop() {
    const mine = child;
    child = null;
    if (!mine || mine.exitCode !== null) return;
    const gone = new Promise((resolve) => mine.once('exit', resolve));
    mine.kill('SIGTERM');
    const timer = setTimeout(() => mine.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(timer);
  }
  async function call(method, path, body) {
    if (path !== 'auth/login') await logIn();
    const headers = { 'Content-Type': 'application/json', ...(session && { Authorization: `Bearer ${session.token}` }) };
    const response = await fetch(`${base}api/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer.data;
  }
  async function logIn() {
    session ??= await call('POST', 'auth/login', { username: 'admin', password: 'admin123' });
    return session;
  }
  /** Polls a task until `isWanted(task)`, and returns it. `what` describes the condition in the error. */
  async function until(id, isWanted, what) {
    const end = Date.now() + 30_000;
    for (;;) {
      const task = await call('GET', `tasks/${id}`);
      if (isWanted(task)) return task;
      if (Date.now() > end) throw new Error(`task ${id} did not become ${what}: ${JSON.stringify(task)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  /** Restores the initial state: all instances enabled, no task waiting or running. */
  async function settle() {
    if (child === null) await start();
    const [instances, { items }] = await Promise.all([
      call('GET', 'instances'),
      call('GET', 'tasks?status=pending,running&limit=200'),
    ]);
    const isOff = ({ port, enabled }) => standIns.includes(port) && !enabled;
    for (const { id } of instances.filter(isOff)) await call('PUT', `instances/${id}`, { enabled: true });
    for (const { id } of items.slice(0, 50)) await call('DELETE', `tasks/${id}`).catch(() => {});
    for (const { id } of items.slice(0, 50))
      await until(id, (task) => !task.cancelRequested && !['pending', 'running'].includes(task.status), 'ended');
  }
  await start();
  return {
    base,
    standIns,
    call,
    session: logIn,
    until,
    settle,
    start,
    stop,
    greeting: () => greeting,
    async end() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
