// Workflows that stand-in instances can run.

export const quick = {
  1: { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 3368601 } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'quick' } },
};

/** Runs for `seconds`, in steps of a tenth; never answered from the cache. */
export const slow = (seconds) => ({
  1: {
    class_type: 'TestSteps',
    inputs: { steps: seconds * 10, seconds, seed: Math.floor(Math.random() * 1e9), preview: false },
    _meta: { title: 'Slow steps' },
  },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'slow' } },
});

/** Saves an image early, then previews for `seconds` and saves another one. */
export const twofold = (seconds) => ({
  1: { class_type: 'EmptyImage', inputs: { width: 800, height: 600, batch_size: 1, color: 3368601 } },
  2: { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'first' } },
  3: { class_type: 'TestSteps', inputs: { steps: seconds * 10, seconds, image: ['1', 0], seed: 1 } },
  4: { class_type: 'SaveImage', inputs: { images: ['3', 0], filename_prefix: 'second' } },
});

export const failing = {
  1: { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 1, color: 3368601 } },
  2: {
    class_type: 'TestSteps',
    inputs: { steps: 4, seconds: 0.2, image: ['1', 0], fail_at: 2, seed: 1 },
    _meta: { title: 'Failing steps' },
  },
  3: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'fail' } },
};

export const withImage = {
  1: { class_type: 'LoadImage', inputs: { image: 'example.png' }, _meta: { title: 'Input image' } },
  2: { class_type: 'ImageInvert', inputs: { image: ['1', 0] } },
  3: { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'inverted' } },
};

export const words = {
  1: { class_type: 'TestStepsText', inputs: { steps: 2, seconds: 0.1, text: '<img src=x onerror=alert(1)>', seed: 1 } },
};
export const sound = {
  1: { class_type: 'EmptyAudio', inputs: { duration: 0.2, sample_rate: 44100, channels: 2 } },
  2: { class_type: 'SaveAudioMP3', inputs: { audio: ['1', 0], filename_prefix: 'audio/x', quality: 'V0' } },
};
export const film = {
  1: { class_type: 'EmptyImage', inputs: { width: 64, height: 64, batch_size: 4, color: 3368601 } },
  2: { class_type: 'CreateVideo', inputs: { images: ['1', 0], fps: 8.0 } },
  3: { class_type: 'SaveVideo', inputs: { video: ['2', 0], filename_prefix: 'video/x', format: 'auto', codec: 'auto' } },
};

/** A PNG of 1 × 1 pixel. */
export const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
