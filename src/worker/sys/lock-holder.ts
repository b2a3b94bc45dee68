import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import type { LockHolder, LockOptions, TransferListener } from '../../graph/contract.js';
import { isErrno } from './libc.js';

const CHUNK_BYTES = 1 << 16;

/**
 * Writes into the lock file who holds it. Over a text that a killed process left, a reader may see some of both for a moment; its next
 * look does not. On a full disk the lock is as good without. A file that was made empty is written to the disk when it is closed,
 * with a wait for it, so that only one that is longer is cut.
 */
export function writeHolder(fd: number, holder: LockHolder): void {
  try {
    const text = Buffer.from(JSON.stringify(holder));
    writeSync(fd, text, 0, text.length, 0);
    if (fstatSync(fd).size > text.length) ftruncateSync(fd, text.length);
  } catch (error) {
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
  }
}

/** What the holder of a lock file told; undefined while it has told nothing. */
export function readHolder(path: string): LockHolder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockHolder;
  } catch {
    return undefined;
  }
}

/** Shows another process that is waited for as a row of transfers. */
export function showWaiting(
  id: string,
  onProgress: TransferListener | undefined,
): NonNullable<LockOptions['onWait']> {
  return (holder) => {
    if (holder?.pid === process.pid) return;
    const action = `waiting for process ${holder?.pid ?? 'unknown'}:`;
    onProgress?.({ id, action, currentBytes: 0, finished: false });
  };
}

/** Reads a growing file from its beginning, piece by piece. */
export class LogFollower implements Disposable {
  readonly path: string;
  #fd: number | undefined;
  #position = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** What was added since the last call. */
  *read(): Iterable<Uint8Array> {
    try {
      this.#fd ??= openSync(this.path, 'r');
    } catch {
      return;
    }
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const read = readSync(this.#fd, chunk, 0, CHUNK_BYTES, this.#position);
      if (read === 0) return;
      this.#position += read;
      yield chunk.subarray(0, read);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
