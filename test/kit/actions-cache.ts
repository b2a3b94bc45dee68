import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A cache service as GitHub Actions has it, in both of its versions, written from its documented protocol: none can be
 * reached from a test. Entries are written once; a key also finds the newest entry that starts with it. It refuses other
 * tokens and other versions than those it knows.
 */
export interface ActionsCache {
  /** Ends in a slash. */
  readonly url: string;
  readonly token: string;
  readonly entries: ReadonlyMap<string, Buffer>;
  stop(): Promise<void>;
}

const VERSION = '693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2';

/** @param permission of the token on its branch: 1 reads, 3 reads and writes */
export async function startActionsCache(permission = 3): Promise<ActionsCache> {
  const entries = new Map<string, Buffer>();
  const uploads = new Map<string, { key: string; parts: Map<string, Buffer>; whole?: Buffer }>();
  const expires = { nbf: 1_700_000_000, exp: 4_000_000_000 };
  const claims = { ...expires, ac: JSON.stringify([{ Scope: 'refs/heads/main', Permission: permission }]) };
  const [header, body] = [{ alg: 'HS256', typ: 'JWT' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const token = `${header}.${body}.hush`;
  let base = '';

  const find = (key: string, version: string) =>
    version === VERSION ? [...entries.keys()].findLast((each) => each.startsWith(key)) : undefined;
  const reserve = (key: string) => {
    if (entries.has(key)) return undefined;
    const id = String(uploads.size + 1);
    uploads.set(id, { key, parts: new Map() });
    return id;
  };
  const commit = (upload: { key: string; whole?: Buffer } | undefined, size: number): boolean => {
    if (upload?.whole?.length !== size) return false;
    entries.set(upload.key, upload.whole);
    return true;
  };

  const twirp = (method: string, body: Record<string, string>): [number, object] => {
    if (method === 'GetCacheEntryDownloadURL') {
      const matched = find(body['key']!, body['version']!);
      if (matched === undefined) return [200, { ok: false }];
      const url = `${base}download/${encodeURIComponent(matched)}?sig=hush`;
      return [200, { ok: true, matched_key: matched, signed_download_url: url }];
    }
    if (method === 'CreateCacheEntry') {
      const id = reserve(body['key']!);
      if (id === undefined) return [409, { code: 'already_exists', msg: 'cache entry exists' }];
      return [200, { ok: true, signed_upload_url: `${base}upload/${id}?sig=hush` }];
    }
    const upload = [...uploads.values()].findLast((each) => each.key === body['key']);
    return [200, { ok: commit(upload, Number(body['size_bytes'])) }];
  };

  const azure = (url: URL, headers: IncomingMessage['headers'], data: Buffer): number => {
    const upload = uploads.get(url.pathname.split('/')[2]!);
    if (!upload || url.searchParams.get('sig') !== 'hush') return 403;
    const part = url.searchParams.get('comp');
    if (part === 'block') upload.parts.set(url.searchParams.get('blockid')!, data);
    else if (part === 'blocklist') {
      const ids = [...data.toString().matchAll(/<Latest>([^<]+)</g)].map((match) => match[1]!);
      upload.whole = Buffer.concat(ids.map((id) => upload.parts.get(id)!));
    } else if (headers['x-ms-blob-type'] === 'BlockBlob') upload.whole = data;
    else return 400;
    return 201;
  };

  const first = (request: IncomingMessage, url: URL, data: Buffer): [number, object] => {
    const [, , , kind, id] = url.pathname.split('/');
    if (request.method === 'GET' && kind === 'cache') {
      const matched = find(url.searchParams.get('keys')!, url.searchParams.get('version')!);
      if (matched === undefined) return [204, {}];
      const location = `${base}download/${encodeURIComponent(matched)}?sig=hush`;
      return [200, { cacheKey: matched, archiveLocation: location }];
    }
    if (request.method === 'POST' && id === undefined) {
      const reserved = reserve((JSON.parse(data.toString()) as { key: string }).key);
      return reserved === undefined ? [409, { message: 'exists' }] : [201, { cacheId: Number(reserved) }];
    }
    const upload = uploads.get(id!)!;
    if (request.method === 'POST') {
      return [commit(upload, (JSON.parse(data.toString()) as { size: number }).size) ? 204 : 400, {}];
    }
    const start = Number(/^bytes (\d+)-/.exec(String(request.headers['content-range']))![1]);
    upload.whole = Buffer.concat([upload.whole ?? Buffer.alloc(0), data]);
    return [upload.whole.length === start + data.length ? 204 : 400, {}];
  };

  const server = createServer((request, response) => {
    void bodyOf(request).then((data) => {
      const url = new URL(request.url!, base);
      const isAllowed = request.headers.authorization === `Bearer ${token}`;
      if (url.pathname.startsWith('/download/')) {
        const entry = entries.get(decodeURIComponent(url.pathname.slice('/download/'.length)));
        response.writeHead(entry ? 200 : 404).end(entry);
      } else if (url.pathname.startsWith('/upload/')) {
        response.writeHead(azure(url, request.headers, data)).end();
      } else if (!isAllowed) answer(response, [401, { msg: 'bad token' }]);
      else if (url.pathname.startsWith('/twirp/'))
        answer(
          response,
          twirp(url.pathname.split('/').at(-1)!, JSON.parse(data.toString()) as Record<string, string>),
        );
      else answer(response, first(request, url, data));
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return {
    url: base,
    token,
    entries,
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function answer(response: ServerResponse, [status, body]: [number, object]): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(status === 204 ? undefined : JSON.stringify(body));
}
