import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { markUsed } from './leases.js';
import { processStamp } from './process-stamp.js';
import { writeAll } from './write-all.js';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BuildError, throwIfAborted } from '../errors.js';
import { createSpaceGuard } from './free-space.js';
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../oci/digest.js';

/** Hears of a blob's file while it is written: first where it is, then how much there is more of it. */
export interface BlobFollower {
  opened(path: string): void;
  written(bytes: number): void;
}

/** What is known of a blob before its bytes are there. */
interface ExpectedBlob {
  readonly digest?: Digest;
  readonly isVerified?: boolean;
  readonly size?: number;
  readonly signal?: AbortSignal;
  readonly follower?: BlobFollower | undefined;
}

/** A whole blob that nobody finds yet. */
export interface StagedBlob {
  readonly temporary: string;
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Blobs by digest in `content/blobs/sha256/<hex>`, so that `content/` is an OCI image layout.
 *
 * A blob is written under a temporary name in `content/ingest/`, verified, then renamed: what has its final name is whole.
 * Writing a blob that exists is a no-op that still consumes and verifies the data. Many processes may write the same blob
 * at once. `read` verifies while it streams and throws BLOB_CORRUPT at the end of what does not match; the damaged blob is
 * set aside first (renamed to `<hex>.damaged`), so that the next use fetches or builds it again.
 */
export class ContentStore {
  readonly root: string;
  #created = false;

  /** @param root the `content/` directory; made on the first write */
  constructor(root: string) {
    this.root = root;
  }

  /** Where the blob is or would be. Readers of this path do not verify; see {@link read}. */
  path(digest: Digest): string {
    return join(this.root, 'blobs', digestAlgorithm(digest), digestHex(digest));
  }

  /** Size in bytes, or undefined when the blob is not there. One stat. */
  sizeOf(digest: Digest): number | undefined {
    return statSync(this.path(digest), { throwIfNoEntry: false })?.size;
  }

  has(digest: Digest): boolean {
    return this.sizeOf(digest) !== undefined;
  }

  /**
   * Whole blob in memory, verified: for manifests and configs, which are read without the threads, whose start and turns take
   * longer. @throws BLOB_CORRUPT, STORE_DAMAGED when missing
   */
  async readBytes(digest: Digest): Promise<Buffer> {
    let data: Buffer;
    try {
      data = readFileSync(this.path(digest));
    } catch (error) {
      throw missing(digest, error);
    }
    if (digestAlgorithm(digest) === 'sha256' && digestOf(data) !== digest) throw this.#setAside(digest);
    return data;
  }

  /** The blob's bytes, verified at the end. @throws BLOB_CORRUPT, STORE_DAMAGED when missing */
  async *read(digest: Digest): AsyncIterable<Uint8Array> {
    const hash = createHash(digestAlgorithm(digest));
    try {
      for await (const chunk of createReadStream(this.path(digest), { highWaterMark: 1 << 20 })) {
        hash.update(chunk as Buffer);
        yield chunk as Buffer;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw missing(digest, error);
      throw error;
    }
    if (hash.digest('hex') !== digestHex(digest)) throw this.#setAside(digest);
  }

  /** Stores small data. */
  async writeBytes(data: string | Uint8Array): Promise<{ digest: Digest; size: number }> {
    const digest = digestOf(data);
    const size = Buffer.byteLength(data);
    if (this.sizeOf(digest) === size && markUsed(this.path(digest))) return { digest, size };
    const temporary = this.temporaryPath();
    try {
      writeFileSync(temporary, data);
      this.#commit(temporary, digest);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return { digest, size };
  }

  /**
   * Streams data in; size and digest must agree with `expected`. A source that itself throws at its end where its bytes are not those
   * of `digest` is `isVerified`: it is not hashed again. @throws BLOB_CORRUPT when they do not; nothing stays behind
   */
  async write(
    source: AsyncIterable<Uint8Array>,
    expected: ExpectedBlob = {},
  ): Promise<{ digest: Digest; size: number }> {
    const { temporary, ...blob } = await this.stage(source, expected);
    try {
      this.#commit(temporary, blob.digest);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    return blob;
  }

  /** As {@link write}, but the blob stays a temporary file, which the caller ends with {@link adopt} or removes. */
  async stage(source: AsyncIterable<Uint8Array>, expected: ExpectedBlob = {}): Promise<StagedBlob> {
    const temporary = this.temporaryPath();
    try {
      const algorithm = expected.digest ? digestAlgorithm(expected.digest) : 'sha256';
      const known = expected.isVerified ? expected.digest : undefined;
      const hash = known ? undefined : createHash(algorithm);
      const guard = createSpaceGuard(temporary);
      let size = 0;
      // Without threads: handing a chunk to one and back takes three times as long as writing it. While a slow disk takes one, the
      // process does nothing else.
      const fd = openSync(temporary, 'wx');
      try {
        expected.follower?.opened(temporary);
        for await (const chunk of source) {
          throwIfAborted(expected.signal);
          guard(chunk.length);
          hash?.update(chunk);
          size += chunk.length;
          writeAll(fd, chunk);
          expected.follower?.written(chunk.length);
        }
      } finally {
        closeSync(fd);
      }
      const digest: Digest = known ?? `${algorithm}:${hash!.digest('hex')}`;
      if (expected.size !== undefined && expected.size !== size) {
        throw new BuildError(
          'BLOB_CORRUPT',
          `blob ${expected.digest ?? digest} has ${size} bytes, expected ${expected.size}`,
        );
      }
      if (expected.digest !== undefined && expected.digest !== digest) {
        throw new BuildError('BLOB_CORRUPT', `blob ${expected.digest} has the digest ${digest}`);
      }
      return { temporary, digest, size };
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  /** A fresh file name in `content/ingest/` for callers that write a blob themselves and end with {@link adopt}. */
  temporaryPath(): string {
    const ingest = join(this.root, 'ingest');
    if (!this.#created) {
      mkdirSync(join(this.root, 'blobs', 'sha256'), { recursive: true });
      mkdirSync(ingest, { recursive: true });
      this.#created = true;
    }
    return join(ingest, `${processStamp()}-${randomBytes(8).toString('hex')}`);
  }

  /** Gives a finished temporary file, whose digest the caller computed while writing, its final name. */
  adopt(temporary: string, digest: Digest): void {
    this.#commit(temporary, digest);
  }

  /** Keeps a blob, and what it names when it is a manifest, from being pruned while this process lives. */
  markUsed(digest: Digest): void {
    markUsed(this.path(digest));
  }

  async delete(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /** Every blob's digest, sorted. */
  async list(): Promise<Digest[]> {
    const names = await readdir(join(this.root, 'blobs', 'sha256')).catch(() => [] as string[]);
    return names
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
      .sort()
      .map((name): Digest => `sha256:${name}`);
  }

  #commit(temporary: string, digest: Digest): void {
    if (digestAlgorithm(digest) === 'sha512')
      mkdirSync(join(this.root, 'blobs', 'sha512'), { recursive: true });
    renameSync(temporary, this.path(digest));
  }

  #setAside(digest: Digest): BuildError {
    const path = this.path(digest);
    try {
      renameSync(path, `${path}.damaged`);
    } catch {
      // Another process set it aside already; the error below is the same.
    }
    return new BuildError('BLOB_CORRUPT', `blob ${digest} in the store does not have that digest`, {
      hint: `it was set aside as "${path}.damaged"; run the command again to fetch or build it anew`,
    });
  }
}

function missing(digest: Digest, cause: unknown): BuildError {
  return new BuildError('STORE_DAMAGED', `blob ${digest} is not in the store`, {
    cause,
    hint: 'run the build again; with --no-cache if the error stays',
  });
}
