import { closeSync, openSync, readSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import type { ContentStore } from '../../cache/content-store.js';
import { createSpaceGuard } from '../../cache/free-space.js';
import { throwIfAborted } from '../../errors.js';
import { compressZstd } from '../../oci/compression.js';
import type { Digest } from '../../oci/digest.js';
import { compressGzip } from '../../oci/gzip.js';
import { BlobWriter } from './blob-writer.js';

const BUFFER_BYTES = 1 << 20;
const BYTES_PER_TURN = 16 << 20;

/** Writes a tar into the content store, compressed. The parts of `tar` need be valid until the next one is asked for, no longer. */
export async function compressLayer(
  tar: AsyncIterable<Uint8Array>,
  compression: 'gzip' | 'zstd',
  content: ContentStore,
  signal: AbortSignal,
): Promise<{ digest: Digest; size: number }> {
  const blob = new BlobWriter(content);
  const guard = createSpaceGuard(content.temporaryPath());
  try {
    for await (const part of compression === 'gzip' ? compressGzip(tar) : await compressZstd(tar)) {
      throwIfAborted(signal);
      guard(part.length);
      blob.append(part);
    }
    const digest = blob.end();
    blob.commit(digest);
    return { digest, size: blob.size };
  } catch (error) {
    blob.abort();
    throw error;
  }
}

/** A file's bytes through one buffer: each part is valid until the next one is asked for. */
export async function* readParts(path: string): AsyncIterable<Uint8Array> {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  const fd = openSync(path, 'r');
  try {
    let sinceTurn = 0;
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      yield buffer.subarray(0, read);
      sinceTurn += read;
      if (sinceTurn < BYTES_PER_TURN) continue;
      sinceTurn = 0;
      await yieldToEvents();
    }
  } finally {
    closeSync(fd);
  }
}
