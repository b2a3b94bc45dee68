import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { throwIfAborted } from '../../errors.js';
import type { Descriptor } from '../../oci/descriptor.js';
import { digestOf } from '../../oci/digest.js';
import type { CacheBackend } from './cache-backend.js';
import type { CachedMount } from './cache-contents.js';
import {
  chunkId,
  type FoundChunk,
  mountChanged,
  MOUNT_INDEX_TYPE,
  type MountChunk,
  type MountIndex,
  type MountScan,
} from './mount-index.js';

const PACK_TYPE = 'application/vnd.tsbuild.cachemount.pack.v1';
const PACK_BYTES = 4 << 20;
/** A pack that packs less than this part of what the mount still holds is not worth keeping. */
const LEAST_LIVE = 0.5;
const compress = (data: string | Uint8Array, level: number) => promisify(gzip)(data, { level });

export interface MountDirectory {
  /** Name of the directory among the cache mounts. */
  readonly name: string;
  readonly id: string;
  readonly path: string;
}

export interface MountUpload {
  readonly blob: Descriptor;
  readonly bytes: Buffer;
}

/**
 * Sends what a cache mount holds: chunks that the earlier packs lack, in new packs of 4 MiB, and the index. Where nothing
 * changed the index is the earlier one.
 */
export async function exportMount(
  directory: MountDirectory,
  scan: MountScan,
  earlier: { mount: CachedMount; index: MountIndex } | undefined,
  send: (upload: MountUpload) => Promise<void>,
  signal: AbortSignal,
): Promise<CachedMount> {
  const kept = keptChunks(scan.chunks, earlier);
  const packs: Descriptor[] = kept.packs;
  const places = new Map<string, Pick<MountChunk, 'pack' | 'offset'>>(kept.places);
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const flush = async () => {
    if (pendingBytes === 0) return;
    const upload = await packOf(Buffer.concat(pending));
    await send(upload);
    packs.push(upload.blob);
    [pending, pendingBytes] = [[], 0];
  };
  for (const chunk of scan.chunks) {
    throwIfAborted(signal);
    if (places.has(chunk.id)) continue;
    places.set(chunk.id, { pack: packs.length, offset: pendingBytes });
    pending.push(readChunk(directory.path, chunk));
    pendingBytes += chunk.length;
    if (pendingBytes >= PACK_BYTES) await flush();
  }
  await flush();
  const chunks = scan.chunks.map(({ id, length }): MountChunk => ({ id, length, ...places.get(id)! }));
  const index: MountIndex = { entries: scan.entries, chunks, packs: packs.map((pack) => pack.digest) };
  const bytes = await compress(JSON.stringify(index), 9);
  const blob: Descriptor = { mediaType: MOUNT_INDEX_TYPE, digest: digestOf(bytes), size: bytes.length };
  if (blob.digest !== earlier?.mount.index.digest) await send({ blob, bytes });
  return { name: directory.name, id: directory.id, index: blob, packs };
}

/** Chunks that lie in packs which are still mostly needed. */
function keptChunks(
  chunks: readonly FoundChunk[],
  earlier: { mount: CachedMount; index: MountIndex } | undefined,
): { packs: Descriptor[]; places: [string, Pick<MountChunk, 'pack' | 'offset'>][] } {
  if (!earlier) return { packs: [], places: [] };
  const needed = new Set(chunks.map((chunk) => chunk.id));
  const whole = new Map<number, { live: number; all: number }>();
  for (const { id, length, pack } of earlier.index.chunks) {
    const sizes = whole.get(pack) ?? { live: 0, all: 0 };
    whole.set(pack, { live: sizes.live + (needed.has(id) ? length : 0), all: sizes.all + length });
  }
  const numbers = new Map<number, number>();
  const packs: Descriptor[] = [];
  earlier.mount.packs.forEach((pack, i) => {
    const { live, all } = whole.get(i) ?? { live: 0, all: 1 };
    if (live / all >= LEAST_LIVE) numbers.set(i, packs.push(pack) - 1);
  });
  const places = earlier.index.chunks.flatMap(({ id, pack, offset }) => {
    const number = numbers.get(pack);
    return number === undefined || !needed.has(id)
      ? []
      : [[id, { pack: number, offset }] as [string, { pack: number; offset: number }]];
  });
  return { packs, places };
}

async function packOf(data: Buffer): Promise<MountUpload> {
  const packed = await compress(data, 1);
  const isSmaller = packed.length < data.length * 0.95;
  const bytes = isSmaller ? packed : data;
  const mediaType = isSmaller ? `${PACK_TYPE}+gzip` : PACK_TYPE;
  return { blob: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

function readChunk(directory: string, { id, path, offset, length }: FoundChunk): Buffer {
  const data = Buffer.allocUnsafe(length);
  const fd = openSync(join(directory, path), 'r');
  try {
    for (let at = 0; at < length;) {
      const read = readSync(fd, data, at, length - at, offset + at);
      if (read === 0) break;
      at += read;
    }
  } finally {
    closeSync(fd);
  }
  if (chunkId(data) === id) return data;
  throw mountChanged(path);
}

/** Sends a blob that is in memory, where the backend lacks it. */
export async function sendBytes(
  { blob, bytes }: MountUpload,
  backend: CacheBackend,
  signal: AbortSignal,
): Promise<boolean> {
  if (await backend.has(blob, signal)) return false;
  const open = async function* () {
    yield bytes;
  };
  await backend.put(blob, open, { signal });
  return true;
}
