// Links of stored files.

/** Sides of the small copies that the server makes. */
const SIDES = [64, 128, 256, 512, 1024];
const SMALL_TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
const SMALL_BYTES_MAX = 64 * 2 ** 20;

/**
 * The API's own `url` of a file (signed, where the system is private), on this server, whatever the public address of the system
 * is. Of a file that only its id is known of, the plain link.
 */
export function fileLink({ url, fileId }) {
  return /upload\/file\/[^/]+$/.exec(url ?? '')?.[0] ?? `upload/file/${encodeURIComponent(fileId)}`;
}

/** Whether a file is a picture that may be shown: an SVG could hold anything. */
export const isPicture = ({ contentType }) => Boolean(contentType?.startsWith('image/')) && !contentType.includes('svg');

/** Whether the server can make a small copy of it, as far as its record tells. */
export const hasSmall = ({ contentType, sizeBytes }) => SMALL_TYPES.includes(contentType) && !(sizeBytes > SMALL_BYTES_MAX);

/** The link of a copy for a place of `side` CSS pixels, sharp on this screen. */
export function smallLink(file, side) {
  const wanted = side * Math.min(2, devicePixelRatio || 1);
  const source = fileLink(file);
  return `${source}${source.includes('?') ? '&' : '?'}w=${SIDES.find((size) => size >= wanted) ?? SIDES.at(-1)}`;
}
