import { createHash } from 'node:crypto';
import { closeSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { type Digest, digestFromHash, digestOf } from '../../oci/digest.js';
import { hashThread } from '../sys/file-hash.js';
import { openRegular } from '../sys/open-regular.js';

const BYTES_PER_TURN = 16 << 20;
/** Read by one call: a regular file gives less than was asked for at its end alone. */
const SMALL_BYTES = 64 << 10;
/** Smaller files cost more on the way to a thread than they cost here. */
const THREAD_MIN_BYTES = 64 << 10;
/** A process that hashed so much is worth the start of threads. */
const THREADS_AFTER_BYTES = 48 << 20;
/** So that a thread has the next file when it is done with one. */
const MOST_QUEUED = 3;
/** One thread reads too little ahead of it to feed more. */
const MOST_THREADS = Math.min(8, availableParallelism() - 1);

const buffer = Buffer.allocUnsafe(1 << 20);
let hashedBytes = 0;

/**
 * Digest of the first `sizeBytes` of a file, which is read at once, synchronously, but for a turn of the event loop between
 * big parts. Where there is much to hash, several digests at a time use several cores. What became a symbolic
 * link is ELOOP. @throws the signal's reason
 */
export async function digestFile(path: string, sizeBytes: number, signal?: AbortSignal): Promise<Digest> {
  hashedBytes += sizeBytes;
  const fd = openRegular(path);
  try {
    const isShared = sizeBytes >= THREAD_MIN_BYTES && hashedBytes >= THREADS_AFTER_BYTES;
    const thread = isShared ? hashThread(MOST_QUEUED, MOST_THREADS) : undefined;
    return (await thread?.digest(fd, sizeBytes, signal)) ?? (await digestHere(fd, sizeBytes, signal));
  } finally {
    closeSync(fd);
  }
}

async function digestHere(fd: number, sizeBytes: number, signal?: AbortSignal): Promise<Digest> {
  if (sizeBytes < SMALL_BYTES) return digestOf(buffer.subarray(0, readSync(fd, buffer, 0, sizeBytes, null)));
  const hash = createHash('sha256');
  let sinceTurn = 0;
  for (let left = sizeBytes; left > 0;) {
    const read = readSync(fd, buffer, 0, Math.min(buffer.length, left), null);
    if (read === 0) break;
    hash.update(buffer.subarray(0, read));
    left -= read;
    sinceTurn += read;
    if (sinceTurn < BYTES_PER_TURN) continue;
    sinceTurn = 0;
    await yieldToEvents();
    signal?.throwIfAborted();
  }
  return digestFromHash(hash);
}
