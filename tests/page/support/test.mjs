// Tests of a browser that share two cores with other tests: a failed one is tried once more and reported as flaky.

import { test as once } from 'node:test';

/** Declares a test. Its first failure is printed as `flaky`; only the second one fails the test. */
export function test(name, run) {
  return once(name, async (context) => {
    try {
      await run(context);
    } catch (error) {
      console.error(`flaky: ${name}: ${error.stack}`);
      await run(context);
    }
  });
}
