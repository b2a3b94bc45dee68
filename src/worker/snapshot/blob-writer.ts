import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { ContentStore } from '../../cache/content-store.js';
import { markUsed } from '../../cache/leases.js';
import { type Digest, digestFromHash } from '../../oci/digest.js';
import { digestOfFile, FollowingHash, hasIdleHashThread } from '../sys/file-hash.js';

const BUFFER_BYTES = 1 << 20;
/** A blob of at most so many bytes is compared with the one that is there before a file is made for it. */
const COMPARED_BYTES = 64 << 10;
/** A blob that grows beyond this is hashed on another core, which starts again at the beginning, where a thread is there and idle. */
const THREAD_AFTER_BYTES = 4 << 20;
/** A blob that grows beyond this is worth the start of a thread. */
const NEW_THREAD_AFTER_BYTES = 64 << 20;

/**
 * Writes one blob of the content store through one buffer, synchronously, and hashes it on the way. Ends with `commit` or
 * `abort`; nothing is visible before `commit`. Its file is made with the first bytes that leave the buffer: many steps make the same small
 * layer, and a file that takes the place of another is written to the disk at once.
 */
export class BlobWriter {
  readonly #content: ContentStore;
  readonly #onPart: ((part: Uint8Array) => void) | undefined;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #following: FollowingHash | undefined;
  #file: { readonly path: string; readonly fd: number } | undefined;
  #isOpen = false;
  #buffered = 0;
  #written = 0;

  /** @param onPart sees all bytes, in order, in parts that are valid for the call */
  constructor(content: ContentStore, onPart?: (part: Uint8Array) => void) {
    this.#content = content;
    this.#onPart = onPart;
  }

  /** Bytes so far. */
  get size(): number {
    return this.#written + this.#buffered;
  }

  append(data: Uint8Array): void {
    for (let at = 0; at < data.length;) {
      const isWhole = this.#buffered === 0 && data.length - at >= BUFFER_BYTES;
      const part = data.subarray(at, at + (isWhole ? BUFFER_BYTES : this.#free()));
      if (isWhole) this.#write(part);
      else {
        this.#buffer.set(part, this.#buffered);
        this.#buffered += part.length;
      }
      at += part.length;
    }
  }

  /** Room after what was written, for a reader to fill: at least one byte, at most `length`. */
  room(length: number): Buffer {
    const free = this.#free();
    return this.#buffer.subarray(this.#buffered, this.#buffered + Math.min(length, free));
  }

  /** The first `bytes` of the room are part of the blob now. */
  fill(bytes: number): void {
    this.#buffered += bytes;
  }

  /** The digest of all that was written; nothing can be added any more. */
  end(): Digest {
    const rest = this.#buffer.subarray(0, this.#buffered);
    this.#see(rest);
    if (!this.#file && rest.length <= COMPARED_BYTES) {
      const digest = digestFromHash(this.#hash);
      if (!this.#isThere(digest, rest)) this.#storeRest();
      return digest;
    }
    this.#storeRest();
    if (!this.#following) return digestFromHash(this.#hash);
    return this.#following.finish() ?? digestOfFile(this.#opened().path);
  }

  /** Gives the blob its name. */
  commit(digest: Digest): void {
    if (!this.#file && markUsed(this.#content.path(digest))) return;
    // Pruned since it was compared.
    if (!this.#file) this.#storeRest();
    const { path } = this.#opened();
    this.#close();
    this.#content.adopt(path, digest);
  }

  /** Drops what was written. */
  abort(): void {
    this.#following?.abandon();
    this.#close();
    if (this.#file) rmSync(this.#file.path, { force: true });
  }

  /** Once: the number may be another file's by now, perhaps a thread's. */
  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#opened().fd);
  }

  #opened(): { readonly path: string; readonly fd: number } {
    if (!this.#file) {
      const path = this.#content.temporaryPath();
      this.#file = { path, fd: openSync(path, 'wx') };
      this.#isOpen = true;
    }
    return this.#file;
  }

  /** Byte by byte, so that a damaged blob is written anew. */
  #isThere(digest: Digest, data: Uint8Array): boolean {
    if (this.#content.sizeOf(digest) !== data.length) return false;
    try {
      return readFileSync(this.#content.path(digest)).equals(data);
    } catch {
      return false;
    }
  }

  #free(): number {
    if (this.#buffered === BUFFER_BYTES) this.#flush();
    return BUFFER_BYTES - this.#buffered;
  }

  #flush(): void {
    this.#write(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #storeRest(): void {
    this.#store(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #write(part: Uint8Array): void {
    this.#see(part);
    this.#store(part);
    this.#followIfWorth();
  }

  #see(part: Uint8Array): void {
    if (!this.#following) this.#hash.update(part);
    this.#onPart?.(part);
  }

  /** Only while more is to come; one that is idle late would begin with more than is left, for all that is known. */
  #followIfWorth(): void {
    if (this.#following || this.#written <= THREAD_AFTER_BYTES || availableParallelism() < 2) return;
    const isEarly = this.#written <= 2 * THREAD_AFTER_BYTES;
    if (this.#written > NEW_THREAD_AFTER_BYTES || (isEarly && hasIdleHashThread()))
      this.#following = new FollowingHash(this.#opened().path, this.#written);
  }

  #store(part: Uint8Array): void {
    const { fd } = this.#opened();
    for (let at = 0; at < part.length;) at += writeSync(fd, part, at);
    this.#written += part.length;
    this.#following?.advance(this.#written);
  }
}
