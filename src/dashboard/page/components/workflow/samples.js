// Sample workflows.

/** The classic text-to-image graph. Stand-in instances run it; a real instance needs the checkpoint. */
export const TEXT_TO_IMAGE = `{
  "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse in the morning", "clip": ["4", 1]}, "_meta": {"title": "Prompt"}},
  "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}, "_meta": {"title": "Negative prompt"}},
  "3": {"class_type": "KSampler", "inputs": {"seed": 18446744073709551615, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal",
        "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}},
  "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}, "_meta": {"title": "Size"}},
  "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned-emaonly-fp16.safetensors"}},
  "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
  "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "sample", "images": ["8", 0]}}
}`;

/** Runs on every ComfyUI without a model. */
export const PLAIN_IMAGE = `{
  "1": {"class_type": "EmptyImage", "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 3368601}, "_meta": {"title": "Solid colour"}},
  "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
  "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "plain", "images": ["2", 0]}}
}`;
