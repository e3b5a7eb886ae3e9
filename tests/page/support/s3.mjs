// A minimal S3 server with an origin of its own. It does not check credentials.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

/** Starts the server: `{flags, origin, end()}`. `flags` make the program store its files here. */
export async function s3() {
  const objects = new Map();
  const uploads = new Map();
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://store');
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const reply = (status, text = '', headers = {}) => response.writeHead(status, headers).end(text);
    const xml = (text) => reply(200, `<?xml version="1.0"?>${text}`, { 'Content-Type': 'application/xml' });
    const tag = (bytes) => `"${createHash('md5').update(bytes).digest('hex')}"`;
    const id = searchParams.get('uploadId');
    if (request.method === 'POST' && searchParams.has('uploads')) {
      const next = `u${uploads.size + 1}`;
      uploads.set(next, []);
      xml(`<InitiateMultipartUploadResult><UploadId>${next}</UploadId></InitiateMultipartUploadResult>`);
    } else if (request.method === 'PUT' && id) {
      uploads.get(id)[Number(searchParams.get('partNumber'))] = body;
      reply(200, '', { ETag: tag(body) });
    } else if (request.method === 'POST' && id) {
      objects.set(pathname, Buffer.concat(uploads.get(id).filter(Boolean)));
      xml(`<CompleteMultipartUploadResult><ETag>${tag(objects.get(pathname))}</ETag></CompleteMultipartUploadResult>`);
    } else if (request.method === 'PUT') {
      const from = request.headers['x-amz-copy-source'];
      objects.set(pathname, from ? objects.get(`/${decodeURIComponent(from).replace(/^\//, '')}`) : body);
      if (from) xml('<CopyObjectResult><ETag>"x"</ETag></CopyObjectResult>');
      else reply(200, '', { ETag: tag(body) });
    } else if (request.method === 'DELETE') {
      objects.delete(pathname);
      reply(204);
    } else if (searchParams.has('list-type')) {
      xml('<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>');
    } else if (!objects.has(pathname)) {
      reply(404);
    } else {
      const bytes = objects.get(pathname);
      const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
      const start = Number(first ?? 0);
      const part = bytes.subarray(start, last ? Number(last) + 1 : undefined);
      response.writeHead(first === undefined ? 200 : 206, {
        'Accept-Ranges': 'bytes',
        'Content-Length': part.length,
        'Content-Type': searchParams.get('response-content-type') ?? 'application/octet-stream',
        'Last-Modified': new Date(0).toUTCString(),
        ETag: tag(bytes),
        ...(first !== undefined && { 'Content-Range': `bytes ${start}-${start + part.length - 1}/${bytes.length}` }),
      });
      response.end(request.method === 'HEAD' ? '' : part);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    flags: [
      ['--storage-url', `s3://files/x?endpoint=${origin}&region=us-east-1`],
      ['--s3-access-key', 'key'],
      ['--s3-secret-key', 'secret'],
    ].flat(),
    end: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
