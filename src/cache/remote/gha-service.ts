import { createHash } from 'node:crypto';
import { BuildError } from '../../errors.js';
import type { HttpResponse } from '../../oci/registry/transport.js';
import { requestCache } from './cache-request.js';

/** Entries by key, written once; a key also finds the newest entry whose key starts with it. */
export interface ActionsService {
  find(key: string, signal: AbortSignal): Promise<{ key: string; url: string } | undefined>;
  download(url: string, signal: AbortSignal): Promise<HttpResponse>;
  /** False where the key is taken. */
  save(
    key: string,
    size: number,
    open: () => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<boolean>;
}

export interface ServiceAddress {
  /** Ends in a slash. */
  readonly base: string;
  readonly token: string;
  /** For messages. */
  readonly place: string;
}

/** One for all entries, as BuildKit's client has it. */
const VERSION = createHash('sha256').update('|go-actionscache-1.0').digest('hex');
const ANSWER_BYTES = 1 << 20;
const SINGLE_UPLOAD_BYTES = 128 << 20;
const PART_BYTES = 32 << 20;

/** The second version of the service: JSON over twirp, and signed URLs of Azure's blob storage. */
export function createServiceV2({ base, token, place }: ServiceAddress): ActionsService {
  const call = async (method: string, body: object, signal: AbortSignal) => {
    const url = `${base}twirp/github.actions.results.api.v1.CacheService/${method}`;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const prepare = () => ({ method: 'POST' as const, url, headers, body: JSON.stringify(body) });
    const response = await requestCache({ place, prepare, accepted: [200, 404, 409], signal });
    const answer = await jsonOf(response);
    return response.status === 200 ? answer : undefined;
  };
  return {
    find: async (key, signal) => {
      const body = { key, restore_keys: [key], version: VERSION };
      const answer = await call('GetCacheEntryDownloadURL', body, signal);
      if (answer?.['ok'] !== true) return undefined;
      return { key: String(answer['matched_key']), url: String(answer['signed_download_url']) };
    },
    download: (url, signal) => download(url, place, signal),
    save: async (key, size, open, signal) => {
      const answer = await call('CreateCacheEntry', { key, version: VERSION }, signal);
      if (answer?.['ok'] !== true) return false;
      await uploadToAzure(String(answer['signed_upload_url']), size, open, { place, signal });
      const ended = await call(
        'FinalizeCacheEntryUpload',
        { key, size_bytes: String(size), version: VERSION },
        signal,
      );
      if (ended?.['ok'] === true) return true;
      throw new BuildError('CACHE_FAILED', `${place} did not take the upload of ${size} bytes`);
    },
  };
}

async function uploadToAzure(
  url: string,
  size: number,
  open: () => AsyncIterable<Uint8Array>,
  { place, signal }: { place: string; signal: AbortSignal },
): Promise<void> {
  const put = async (target: string, body: () => Uint8Array | AsyncIterable<Uint8Array>, headers: object) => {
    const prepare = () => ({ method: 'PUT' as const, url: target, headers: { ...headers }, body: body() });
    await (await requestCache({ place, prepare, accepted: [201], signal })).discard();
  };
  if (size <= SINGLE_UPLOAD_BYTES) {
    await put(url, open, { 'content-length': String(size), 'x-ms-blob-type': 'BlockBlob' });
    return;
  }
  const ids: string[] = [];
  for await (const part of inParts(open(), PART_BYTES)) {
    const id = Buffer.from(String(ids.length).padStart(8, '0')).toString('base64');
    ids.push(id);
    await put(`${url}&comp=block&blockid=${encodeURIComponent(id)}`, () => part, {});
  }
  const list = `<BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
  await put(`${url}&comp=blocklist`, () => Buffer.from(list), {});
}

/** The first version of the service, which servers of an enterprise and act still have. */
export function createServiceV1({ base, token, place }: ServiceAddress): ActionsService {
  const api = `${base}_apis/artifactcache/`;
  const common = {
    authorization: `Bearer ${token}`,
    accept: 'application/json;api-version=6.0-preview.1',
  };
  const json = { ...common, 'content-type': 'application/json' };
  const post = (path: string, body: object, accepted: readonly number[], signal: AbortSignal) => {
    const prepare = () => ({
      method: 'POST' as const,
      url: `${api}${path}`,
      headers: json,
      body: JSON.stringify(body),
    });
    return requestCache({ place, prepare, accepted, signal });
  };
  return {
    find: async (key, signal) => {
      const query = new URLSearchParams({ keys: key, version: VERSION });
      const prepare = () => ({
        method: 'GET' as const,
        url: `${api}cache?${query.toString()}`,
        headers: common,
      });
      const response = await requestCache({ place, prepare, accepted: [200, 204], signal });
      const answer = await jsonOf(response);
      return response.status === 204
        ? undefined
        : { key: String(answer['cacheKey']), url: String(answer['archiveLocation']) };
    },
    download: (url, signal) => download(url, place, signal),
    save: async (key, size, open, signal) => {
      const reserved = await post(
        'caches',
        { key, version: VERSION, cacheSize: size },
        [200, 201, 409],
        signal,
      );
      const answer = await jsonOf(reserved);
      if (reserved.status === 409) return false;
      const path = `caches/${String(answer['cacheId'])}`;
      let at = 0;
      for await (const part of inParts(open(), PART_BYTES)) {
        const range = `bytes ${at}-${at + part.length - 1}/*`;
        const headers = { ...common, 'content-type': 'application/octet-stream', 'content-range': range };
        const prepare = () => ({ method: 'PATCH' as const, url: `${api}${path}`, headers, body: part });
        await (await requestCache({ place, prepare, accepted: [200, 204], signal })).discard();
        at += part.length;
      }
      await (await post(path, { size }, [200, 204], signal)).discard();
      return true;
    },
  };
}

function download(url: string, place: string, signal: AbortSignal): Promise<HttpResponse> {
  return requestCache({ place, prepare: () => ({ method: 'GET', url }), accepted: [200], signal });
}

async function jsonOf(response: HttpResponse): Promise<Record<string, unknown>> {
  const bytes = await response.bytes(ANSWER_BYTES);
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  } catch (error) {
    throw new BuildError('CACHE_FAILED', 'the cache service answers with something other than JSON', {
      cause: error,
    });
  }
}

/** Parts of `sizeBytes`, the last one shorter. */
async function* inParts(source: AsyncIterable<Uint8Array>, sizeBytes: number): AsyncIterable<Buffer> {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    held.push(chunk);
    length += chunk.length;
    if (length < sizeBytes) continue;
    const whole = Buffer.concat(held);
    let at = 0;
    for (; whole.length - at >= sizeBytes; at += sizeBytes) yield whole.subarray(at, at + sizeBytes);
    held = [whole.subarray(at)];
    length = whole.length - at;
  }
  if (length > 0) yield Buffer.concat(held);
}
