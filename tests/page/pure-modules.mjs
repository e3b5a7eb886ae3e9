// Unit tests of pure modules, run in the browser.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { close, open } from './support/browser.mjs';

export default (world) => {
  let page = null;
  after(() => page && close(page));
  /** Runs `act(module)` in one page shared by all tests; the modules are pure. */
  const inPage = async (path, act, ...given) => {
    page ??= await open(world, { login: false });
    const folder = await page.evaluate(() => document.querySelector('script[type=module]').src.replace(/app\.js$/, ''));
    return page.evaluate(
      `(async () => (${act})(await import(${JSON.stringify(folder + path)}), ...${JSON.stringify(given)}))()`,
    );
  };

  test('JSON is parsed losslessly, and syntax errors have a position', async () => {
    const wrong = [
      '',
      '{',
      '[1,]',
      '{"a" 1}',
      '{"a":1,}',
      "{'a':1}",
      '01',
      '1.',
      '+1',
      'NaN',
      '"\n"',
      '"\\x"',
      '{} {}',
      '[1] x',
      `${'['.repeat(200)}${']'.repeat(200)}`,
    ];
    const found = await inPage(
      'base/json.js',
      ({ parseJson, resolvePointer, position, isNumber }, wrong) => {
        const text = '{"a": [18446744073709551615, 1e-7, 20.0, "\\u00e4\\"", true, null], "b/c": {"~": -0}}';
        const root = parseJson(text);
        const raw = (value) => text.slice(value.start, value.end);
        return {
          numbers: root.members[0].value.items.map(raw),
          string: root.members[0].value.items[3].value,
          pointer: raw(resolvePointer(root, '/b~1c/~0')),
          missing: raw(resolvePointer(root, '/b~1c/none/deeper')),
          position: position('a\nbc\nd', 3),
          wrong: wrong.map((text) => {
            try {
              parseJson(text);
              return 'accepted';
            } catch (error) {
              return typeof error.at;
            }
          }),
          isNumber: ['1', '-1.5e+3', '1.', '', ' 1', '1 ', '0x1', '1e', '--1', 'Infinity', '18446744073709551616'].filter(
            isNumber,
          ),
        };
      },
      wrong,
    );
    assert.deepEqual(found.numbers, ['18446744073709551615', '1e-7', '20.0', '"\\u00e4\\""', 'true', 'null']);
    assert.deepEqual([found.string, found.pointer, found.missing], ['ä"', '-0', '{"~": -0}']);
    assert.deepEqual(found.position, { line: 2, column: 2 });
    assert.deepEqual(
      found.wrong,
      wrong.map(() => 'number'),
    );
    assert.deepEqual(found.isNumber, ['1', '-1.5e+3', '18446744073709551616']);
  });

  test('each state of Redis is a problem of its own', async () => {
    const kinds = await inPage('components/fleet/problems.js', ({ findProblems }) =>
      ['lost', 'refusing', 'disconnected'].map((redis) => findProblems(null, null, { status: 'degraded', redis })[0].kind),
    );
    assert.deepEqual(kinds, ['queue_lost', 'redis_refuses', 'redis_unavailable']);
  });

  test('kinds of inputs are guessed from their values', async () => {
    const kinds = await inPage('components/workflow/parse-workflow.js', ({ parseWorkflow }) => {
      const graph = {
        a: {
          class_type: 'X',
          inputs: {
            link: ['b', 0],
            orphan: ['missing', 0],
            seed: 1,
            cfg: 1.5,
            on: false,
            text: '',
            name: 'x',
            image: 'a.png',
            ckpt_name: `${'long'.repeat(30)}.safetensors`,
            list: [1],
            nothing: null,
            own: { $file: 'f' },
          },
        },
        b: { class_type: 'LoadImage', inputs: { image: '' } },
        c: { class_type: 'SaveImage', inputs: { filename_prefix: 'a.png' } },
      };
      const read = (value) => parseWorkflow(JSON.stringify(value));
      return {
        kinds: Object.fromEntries(
          read(graph).nodes.flatMap((node) => node.inputs.map((input) => [`${node.id}.${input.name}`, input.kind])),
        ),
        forms: [
          { nodes: [], links: [] },
          { prompt: graph },
          { workflow: graph, params: { x: 1 } },
          {},
          [],
          { a: {} },
          { workflow: { nodes: [], links: [] } },
        ].map((value) => read(value).form),
      };
    });
    assert.deepEqual(kinds.kinds, {
      'a.link': 'link',
      'a.orphan': 'json',
      'a.seed': 'seed',
      'a.cfg': 'number',
      'a.on': 'boolean',
      'a.text': 'text',
      'a.name': 'line',
      'a.image': 'file',
      'a.ckpt_name': 'line',
      'a.list': 'json',
      'a.nothing': 'json',
      'a.own': 'file',
      'b.image': 'file',
      'c.filename_prefix': 'line',
    });
    assert.deepEqual(kinds.forms, ['ui', 'api', 'api', 'none', 'none', 'none', 'ui']);
  });

  test('a cycle does not hang the layout', async () => {
    const levels = await inPage('components/workflow/parse-workflow.js', ({ levels, parseWorkflow }) =>
      [
        ...levels(
          parseWorkflow(
            '{"a":{"class_type":"X","inputs":{"x":["b",0]}},"b":{"class_type":"X","inputs":{"x":["a",0]}},"c":{"class_type":"X","inputs":{"x":["a",0]}}}',
          ).nodes,
        ).keys(),
      ].sort(),
    );
    assert.deepEqual(levels, ['a', 'b', 'c']);
  });

  test('a diff is minimal, and empty for equal texts', async () => {
    const found = await inPage('base/line-diff.js', ({ diff }) => {
      const lines = Array.from({ length: 40 }, (_none, at) => `line ${at}`);
      const other = [...lines.slice(0, 20), 'new', ...lines.slice(21)];
      const whole = (kind) =>
        diff(lines.join('\n'), other.join('\n'))
          .filter((line) => line.kind === kind)
          .map((line) => line.text);
      return {
        same: diff('a\nb', 'a\nb'),
        added: whole('added'),
        removed: whole('removed'),
        gaps: whole('gap').length,
        shown: diff(lines.join('\n'), other.join('\n')).length,
      };
    });
    assert.deepEqual(found, { same: [], added: ['new'], removed: ['line 20'], gaps: 2, shown: 8 });
  });

  test('a workflow is extracted from a PNG', async () => {
    const found = await inPage('components/workflow/png-prompt.js', ({ promptFromPng }) => {
      const chunk = (kind, text) => [
        0,
        0,
        0,
        text.length,
        ...[...(kind + text)].map((letter) => letter.charCodeAt(0)),
        0,
        0,
        0,
        0,
      ];
      const png = (...chunks) => new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...chunks.flat()]).buffer;
      return [
        png(chunk('IHDR', 'x'.repeat(13)), chunk('tEXt', 'prompt\0{"a":1}'), chunk('IDAT', '')),
        png(chunk('IDAT', ''), chunk('tEXt', 'prompt\0{}')),
        png([0, 0, 9, 9, 116]),
        new ArrayBuffer(3),
      ].map(promptFromPng);
    });
    assert.deepEqual(found, ['{"a":1}', null, null, null]);
  });
};
