// URLs of stored files and their thumbnails.

/** Thumbnail sizes that the server offers, in pixels. */
const SIDES = [64, 128, 256, 512, 1024];
const THUMBNAIL_TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
const THUMBNAIL_SOURCE_BYTES_MAX = 64 * 2 ** 20;

/**
 * Returns the link of a file relative to this page: the path of the API's `url` (signed in private mode), which may
 * name another public host. If only the id is known, returns the unsigned link.
 */
export function fileLink({ url, fileId }) {
  return /upload\/file\/[^/]+$/.exec(url ?? '')?.[0] ?? `upload/file/${encodeURIComponent(fileId)}`;
}

/** Whether a file is an image that is safe to show. SVG is excluded because it can contain scripts. */
export const isImage = ({ contentType }) => /^image\/(png|jpeg|gif|webp|avif|bmp)$/.test(contentType ?? '');

/** Whether the server can make a thumbnail of the file, judging by its type and size. */
export const hasThumbnail = ({ contentType, sizeBytes }) =>
  THUMBNAIL_TYPES.includes(contentType) && !(sizeBytes > THUMBNAIL_SOURCE_BYTES_MAX);

/** Returns the link of the thumbnail for `side` CSS pixels at this screen's pixel ratio. */
export function thumbnailLink(file, side) {
  const wanted = side * Math.min(2, devicePixelRatio || 1);
  const source = fileLink(file);
  return `${source}${source.includes('?') ? '&' : '?'}w=${SIDES.find((size) => size >= wanted) ?? SIDES.at(-1)}`;
}
