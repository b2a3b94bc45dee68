import { createHash, webcrypto } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { type Digest, digestFromHash } from '../../oci/digest.js';

const BYTES_PER_TURN = 16 << 20;
/** Files of this size are hashed on a thread of the pool: below it the way there costs more, above it the memory. */
const POOL_MIN_BYTES = 128 << 10;
const POOL_MAX_BYTES = 8 << 20;

const buffer = Buffer.allocUnsafe(1 << 20);

/**
 * Digest of the first `sizeBytes` of a file, which is read at once, synchronously, but for a turn of the event loop between
 * big parts. Several digests at a time use several cores.
 */
export async function digestFile(path: string, sizeBytes: number): Promise<Digest> {
  const fd = openSync(path, 'r');
  try {
    if (sizeBytes >= POOL_MIN_BYTES && sizeBytes <= POOL_MAX_BYTES) return await digestOnPool(fd, sizeBytes);
    return await digestHere(fd, sizeBytes);
  } finally {
    closeSync(fd);
  }
}

async function digestOnPool(fd: number, sizeBytes: number): Promise<Digest> {
  const data = Buffer.allocUnsafe(sizeBytes);
  let filled = 0;
  for (let read = -1; read !== 0 && filled < sizeBytes; filled += read)
    read = readSync(fd, data, filled, sizeBytes - filled, null);
  const digest = await webcrypto.subtle.digest('SHA-256', data.subarray(0, filled));
  return `sha256:${Buffer.from(digest).toString('hex')}`;
}

async function digestHere(fd: number, sizeBytes: number): Promise<Digest> {
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
  }
  return digestFromHash(hash);
}
