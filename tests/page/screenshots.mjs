// Takes the two screenshots of the README: `node tests/page/screenshots.mjs`.

import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, open, visit } from './support/browser.mjs';
import { stack } from './support/stack.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const TEXTS = [
  'a lighthouse in the morning',
  'a red bridge over a river',
  'an old library',
  'paper boats',
  'a quiet harbour',
  'mountains before rain',
];

const graph = (text, steps) => ({
  3: {
    class_type: 'KSampler',
    inputs: {
      seed: 1,
      steps,
      cfg: 8,
      sampler_name: 'euler',
      scheduler: 'normal',
      denoise: 1,
      model: ['4', 0],
      positive: ['6', 0],
      negative: ['7', 0],
      latent_image: ['5', 0],
    },
  },
  4: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'v1-5-pruned-emaonly-fp16.safetensors' } },
  5: { class_type: 'EmptyLatentImage', inputs: { width: 768, height: 512, batch_size: 1 } },
  6: { class_type: 'CLIPTextEncode', inputs: { text, clip: ['4', 1] }, _meta: { title: 'Prompt' } },
  7: { class_type: 'CLIPTextEncode', inputs: { text: 'blurry', clip: ['4', 1] }, _meta: { title: 'Negative prompt' } },
  8: { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
  9: { class_type: 'SaveImage', inputs: { filename_prefix: 'picture', images: ['8', 0] } },
});

/** Saves a screenshot as WebP, encoded by the browser. */
async function save(page, browser, name) {
  const png = (await page.screenshot()).toString('base64');
  const other = await browser.newPage();
  const webp = await other.evaluate(async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', 0.86).split(',')[1];
  }, png);
  await other.close();
  await writeFile(join(HERE, name), Buffer.from(webp, 'base64'));
}

const system = await stack(40);
const browser = await launch();
const world = { ...system, browser };
try {
  const [own] = (await world.call('GET', 'config')).servers;
  const rack = (id, name, ports) => ({ ...own, id, name, ports });
  const servers = [
    rack('rack-1', 'Rack 1', own.ports.slice(0, 16)),
    rack('rack-2', 'Rack 2', own.ports.slice(16, 32)),
    rack('lab', 'Lab', own.ports.slice(32)),
  ];
  await world.call('PUT', 'config', { servers, healthCheck: { interval: 1000, timeout: 1000, failuresToDown: 2 } });
  const page = await open(world, { theme: 'light', width: 1360, height: 900 });
  let last = null;
  // Submit tasks in waves, so that the charts show a curve.
  for (const [count, steps] of [
    [30, 150],
    [50, 300],
    [20, 100],
    [60, 400],
    [70, 700],
  ]) {
    for (let at = 0; at < count; at += 1) {
      last = (
        await world.call('POST', 'tasks', {
          workflow: graph(TEXTS[at % TEXTS.length], steps + at * 7),
          params: { '3.seed': 'random' },
        })
      ).id;
    }
    await page.waitForTimeout(9_000);
  }
  await world.call('PUT', `instances/127.0.0.1:${own.ports[10]}`, { enabled: false });
  await page.waitForTimeout(1_500);
  await save(page, browser, 'overview.webp');
  const done = (await world.call('GET', 'tasks?status=completed&limit=1')).items[0]?.id ?? last;
  const dark = await open(world, { theme: 'dark', width: 1360, height: 900 });
  await visit(dark, world.base, `#/tasks/${done}`);
  await dark.waitForSelector('.output img');
  await dark.waitForTimeout(1_000);
  await save(dark, browser, 'task.webp');
} finally {
  await browser.close();
  await world.end();
}
