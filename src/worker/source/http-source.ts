import { statSync } from 'node:fs';
import { join } from 'node:path';
import { readChecked, writeChecked } from '../../cache/checked-file.js';
import type { ContentStore } from '../../cache/content-store.js';
import { BuildError } from '../../errors.js';
import type { LockAcquirer, TransferListener } from '../../graph/contract.js';
import type { SourceOp } from '../../graph/op.js';
import { type Digest, digestHex, digestOf, isDigest } from '../../oci/digest.js';
import { isSameOrigin, redirectTarget } from '../../oci/registry/redirect.js';
import type { HttpResponse } from '../../oci/registry/transport.js';
import { wholeSeconds } from '../../oci/tar/tar-entry.js';
import { showWaiting } from '../sys/lock-holder.js';

export interface HttpSourceOptions {
  readonly content: ContentStore;
  /** What is known of URLs, a file each. */
  readonly directory: string;
  readonly lock: LockAcquirer;
  readonly secret: (id: string) => Buffer | undefined;
}

/** A downloaded file; its bytes are a blob of the content store. */
export interface FetchedFile {
  readonly digest: Digest;
  readonly size: number;
  /** Last-Modified, seconds since the epoch. */
  readonly modifiedSec?: number;
}

interface Known extends FetchedFile {
  readonly etag?: string;
}

const MOST_REDIRECTS = 10;

/**
 * Files of `ADD https://…` and of contexts. A file that the server calls unchanged (ETag, Last-Modified) is not downloaded
 * again; one whose digest is given is not asked for when it is there. Of several processes one asks, and those who waited for it
 * take what it got. `HTTP_AUTH_TOKEN_<host>` and `HTTP_AUTH_HEADER_<host>`
 * are secrets that authorize.
 */
export class HttpSource {
  readonly #options: HttpSourceOptions;
  readonly #fetching = new Map<string, Promise<FetchedFile>>();

  constructor(options: HttpSourceOptions) {
    this.#options = options;
  }

  /** @throws DOWNLOAD_FAILED, BLOB_CORRUPT for another digest than `checksum` */
  fetch(op: SourceOp, signal: AbortSignal, onProgress?: TransferListener): Promise<FetchedFile> {
    const url = op.identifier;
    const checksum = op.attributes?.['checksum'];
    const key = `${url} ${checksum ?? ''}`;
    let fetching = this.#fetching.get(key);
    if (!fetching) {
      fetching = this.#fetch(url, checksum, signal, onProgress);
      this.#fetching.set(key, fetching);
    }
    return fetching;
  }

  async #fetch(
    url: string,
    checksum: string | undefined,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<FetchedFile> {
    const before = this.#known(url);
    if (checksum !== undefined && before?.digest === checksum) return before;
    const stampBefore = this.#stamp(url);
    using _lock = await this.#options.lock(`http-${digestHex(digestOf(url))}`, {
      signal,
      purpose: `downloading ${shown(url)}`,
      onWait: showWaiting(shown(url), onProgress),
    });
    const known = this.#known(url);
    if (known && this.#stamp(url) !== stampBefore) return this.#checked(url, known, checksum);
    const headers = {
      ...this.#authorization(url),
      ...(known?.etag === undefined ? {} : { 'if-none-match': known.etag }),
    };
    const response = await this.#send(url, headers, signal);
    if (response.status === 304 && known) {
      await response.discard();
      this.#remember(url, known);
      return this.#checked(url, known, checksum);
    }
    const fetched = await this.#download(url, response, signal, onProgress);
    this.#remember(url, fetched);
    return this.#checked(url, fetched, checksum);
  }

  #checked(url: string, fetched: Known, checksum: string | undefined): FetchedFile {
    if (checksum === undefined || fetched.digest === checksum) return fetched;
    throw new BuildError(
      'BLOB_CORRUPT',
      `digest mismatch for ${shown(url)}: ${fetched.digest} (expected: ${checksum})`,
      { hint: 'the file has changed, or the --checksum is not its own' },
    );
  }

  async #send(
    url: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const { sendHttp } = await import('../../oci/registry/transport.js');
    let target = url;
    for (let redirects = 0; ; redirects++) {
      const isOwnHost = isSameOrigin(target, url);
      const { authorization: _authorization, ...open } = headers as { authorization?: string };
      let response: HttpResponse;
      try {
        response = await sendHttp({
          method: 'GET',
          url: target,
          headers: isOwnHost ? headers : open,
          signal,
        });
      } catch (error) {
        if (!(error instanceof BuildError) || error.code !== 'REGISTRY_UNREACHABLE') throw error;
        throw failed(url, error.message.replace(/^the registry "[^"]*" cannot be reached: /, ''), error);
      }
      const location = response.header('location');
      if (![301, 302, 303, 307, 308].includes(response.status) || !location) {
        if (response.status === 200 || response.status === 304) return response;
        await response.discard();
        throw failed(url, `invalid response status ${response.status}`);
      }
      await response.discard();
      if (redirects >= MOST_REDIRECTS) throw failed(url, `more than ${MOST_REDIRECTS} redirects`);
      target = followed(url, location, target);
    }
  }

  async #download(
    url: string,
    response: HttpResponse,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<Known> {
    const totalBytes = Number(response.header('content-length')) || undefined;
    const etag = response.header('etag');
    const modifiedMs = Date.parse(response.header('last-modified') ?? '');
    const row = { id: shown(url), action: 'downloading', ...(totalBytes ? { totalBytes } : {}) };
    let currentBytes = 0;
    async function* counted() {
      for await (const chunk of response.body) {
        currentBytes += chunk.length;
        onProgress?.({ ...row, currentBytes, finished: false });
        yield chunk;
      }
    }
    let written;
    try {
      written = await this.#options.content.write(counted(), { signal });
    } catch (error) {
      if (signal.aborted || error instanceof BuildError) throw error;
      throw failed(url, (error as Error).message, error);
    }
    onProgress?.({ ...row, currentBytes, finished: true });
    return {
      ...written,
      ...(etag === undefined ? {} : { etag }),
      ...(Number.isNaN(modifiedMs) ? {} : { modifiedSec: wholeSeconds(modifiedMs / 1000) }),
    };
  }

  #authorization(url: string): Record<string, string> {
    const { host } = new URL(url);
    const header = this.#options.secret(`HTTP_AUTH_HEADER_${host}`);
    if (header) return { authorization: header.toString('utf8').trim() };
    const token = this.#options.secret(`HTTP_AUTH_TOKEN_${host}`);
    return token ? { authorization: `Bearer ${token.toString('utf8').trim()}` } : {};
  }

  #known(url: string): Known | undefined {
    const body = readChecked(this.#path(url));
    if (body === undefined) return undefined;
    const known = JSON.parse(body) as Known;
    const { content } = this.#options;
    if (!isDigest(known.digest) || content.sizeOf(known.digest) !== known.size) return undefined;
    content.markUsed(known.digest);
    return known;
  }

  #remember(url: string, known: Known): void {
    writeChecked(this.#path(url), JSON.stringify({ ...known, url: shown(url) }));
  }

  /** Changes whenever something was learned of the URL, by whichever process. */
  #stamp(url: string): string | undefined {
    const stat = statSync(this.#path(url), { throwIfNoEntry: false });
    return stat && `${stat.ino} ${stat.ctimeMs}`;
  }

  #path(url: string): string {
    return join(this.#options.directory, digestHex(digestOf(url)));
  }
}

/** A URL without password and query, which may be a signature. */
function shown(url: string): string {
  return url.replace(/(\/\/)[^/@\s]*@/, '$1').replace(/\?.*/s, '?…');
}

/** @throws DOWNLOAD_FAILED for a redirect that is not followed */
function followed(url: string, location: string, from: string): string {
  try {
    return redirectTarget(location, from, shown(url));
  } catch (error) {
    throw failed(url, (error as Error).message.replace(/^.*: the server redirects/s, 'the server redirects'));
  }
}

function failed(url: string, why: string, cause?: unknown): BuildError {
  return new BuildError('DOWNLOAD_FAILED', `"${shown(url)}" cannot be fetched: ${why}`, {
    cause,
    hint: `check the URL and the network; a private file needs --secret id=HTTP_AUTH_TOKEN_${new URL(url).host}`,
  });
}
