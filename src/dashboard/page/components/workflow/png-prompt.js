// Extracts the workflow that ComfyUI embeds in the PNG files it saves.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Returns the `prompt` text chunk of a PNG (the graph in API format), or `null`. */
export function promptFromPng(buffer) {
  const view = new DataView(buffer);
  if (view.byteLength < 8 || SIGNATURE.some((byte, at) => view.getUint8(at) !== byte)) return null;
  for (let at = 8; at + 12 <= view.byteLength;) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...new Uint8Array(buffer, at + 4, 4));
    if (kind === 'IDAT' || at + 12 + length > view.byteLength) return null;
    if (kind === 'tEXt') {
      const bytes = new Uint8Array(buffer, at + 8, length);
      const end = bytes.indexOf(0);
      const name = new TextDecoder('latin1').decode(bytes.subarray(0, end));
      // ComfyUI escapes non-ASCII characters, so Latin-1 and UTF-8 are the same here.
      if (name === 'prompt') return new TextDecoder().decode(bytes.subarray(end + 1));
    }
    at += 12 + length;
  }
  return null;
}
