import { createHash } from 'node:crypto';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { ContentStore } from '../../cache/content-store.js';
import { type Digest, digestFromHash } from '../../oci/digest.js';
import { digestOfFile, FollowingHash } from '../sys/file-hash.js';

const BUFFER_BYTES = 1 << 20;
/** A blob that grows beyond this is hashed on a core of its own, which starts again at the beginning. */
const THREAD_AFTER_BYTES = 64 << 20;

/**
 * Writes one blob of the content store through one buffer, synchronously, and hashes it on the way. Ends with `commit` or
 * `abort`; nothing is visible before `commit`.
 */
export class BlobWriter {
  readonly #content: ContentStore;
  readonly #onPart: ((part: Uint8Array) => void) | undefined;
  readonly #temporary: string;
  readonly #fd: number;
  readonly #hash = createHash('sha256');
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #following: FollowingHash | undefined;
  #isOpen = true;
  #buffered = 0;
  #written = 0;

  /** @param onPart sees all bytes, in order, in parts that are valid for the call */
  constructor(content: ContentStore, onPart?: (part: Uint8Array) => void) {
    this.#content = content;
    this.#onPart = onPart;
    this.#temporary = content.temporaryPath();
    this.#fd = openSync(this.#temporary, 'wx');
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
    this.#flush();
    if (!this.#following) return digestFromHash(this.#hash);
    return this.#following.finish() ?? digestOfFile(this.#temporary);
  }

  /** Gives the blob its name. */
  commit(digest: Digest): void {
    this.#close();
    this.#content.adopt(this.#temporary, digest);
  }

  /** Drops what was written. */
  abort(): void {
    this.#following?.abandon();
    this.#close();
    rmSync(this.#temporary, { force: true });
  }

  /** Once: the number may be another file's by now, perhaps a thread's. */
  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }

  #free(): number {
    if (this.#buffered === BUFFER_BYTES) this.#flush();
    return BUFFER_BYTES - this.#buffered;
  }

  #flush(): void {
    this.#write(this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }

  #write(part: Uint8Array): void {
    if (!this.#following) this.#hash.update(part);
    this.#onPart?.(part);
    for (let at = 0; at < part.length;) at += writeSync(this.#fd, part, at);
    this.#written += part.length;
    this.#following?.advance(this.#written);
    if (!this.#following && this.#written > THREAD_AFTER_BYTES && availableParallelism() > 1)
      this.#following = new FollowingHash(this.#temporary, this.#written);
  }
}
