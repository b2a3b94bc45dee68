import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';
import { decompress } from '../../oci/compression.js';
import { digestAlgorithm, digestHex } from '../../oci/digest.js';
import { forgetBehind } from '../sys/page-cache.js';
import { checkedTar, extractLayer } from './extract.js';
import { addLayerIndex } from './layer-index-file.js';
import { UNPACK_PHASE, unpackState, type UnpackTask } from './unpack-task.js';

const CHUNK_BYTES = 1 << 18;
const POLL_MS = 2;

/** The program of a thread that unpacks layers, one after the other. What went wrong is found out by who tries it again. */
parentPort!.on('message', (task: UnpackTask) => {
  unpack(task).then(
    () => parentPort!.postMessage(true),
    () => parentPort!.postMessage(false),
  );
});

async function unpack(task: UnpackTask): Promise<void> {
  const { compression, diffId, target, indexPath } = task;
  const tar = checkedTar(decompress(packedBytes(task), compression, 'own'), { diffId });
  addLayerIndex(indexPath, await extractLayer(tar, target));
}

/**
 * What is there of the file, as it comes; it ends when all of it is there and verified. A chunk is valid until the next one is asked
 * for.
 */
async function* packedBytes({ fd, shared, packedDigest, isReadOnce }: UnpackTask): AsyncIterable<Uint8Array> {
  const { phase, size } = unpackState(shared);
  const hash = packedDigest && createHash(digestAlgorithm(packedDigest));
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  const forget = isReadOnce ? forgetBehind(fd) : undefined;
  for (let at = 0; ;) {
    // In this order: a file that is whole has its last size.
    const now = Atomics.load(phase, 0);
    const end = Number(Atomics.load(size, 0));
    if (now === UNPACK_PHASE.abandoned) throw new Error('abandoned');
    if (at === end) {
      if (now === UNPACK_PHASE.whole) break;
      await sleep(POLL_MS);
      continue;
    }
    const read = readSync(fd, buffer, 0, Math.min(CHUNK_BYTES, end - at), at);
    if (read === 0) throw new Error('the file is too short');
    at += read;
    forget?.(at);
    const chunk = buffer.subarray(0, read);
    hash?.update(chunk);
    yield chunk;
  }
  if (packedDigest && hash?.digest('hex') !== digestHex(packedDigest)) throw new Error('another digest');
}
