import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { BuildError } from '../../errors.js';
import type { Descriptor } from '../../oci/descriptor.js';
import { matchesDigest } from '../../oci/digest.js';
import { inParallel } from '../../oci/registry/push.js';
import type { CacheBackend } from './cache-backend.js';
import type { CachedMount } from './cache-contents.js';
import { type MountEntry, type MountIndex, parseMountIndex } from './mount-index.js';

const PACKS_AT_ONCE = 4;
const MOST_UNPACKED_BYTES = 64 << 20;
const MOST_INDEX_BYTES = 1 << 30;

export async function readMountIndex(
  { index }: CachedMount,
  backend: CacheBackend,
  signal: AbortSignal,
): Promise<MountIndex> {
  const bytes = await verified(index, backend, signal);
  return parseMountIndex(
    (await promisify(gunzip)(bytes, { maxOutputLength: MOST_INDEX_BYTES })).toString('utf8'),
  );
}

export interface RestoreOptions {
  /** Empty. */
  readonly directory: string;
  /** Of a path itself, not of what a link points to. */
  readonly setTimesNs: (path: string, accessNs: bigint, modificationNs: bigint) => void;
  readonly signal: AbortSignal;
}

/**
 * Writes the files of a cache mount into an empty directory. Links are made last, so that no path leads through
 * one of them. @throws CACHE_INVALID, and what the backend throws
 */
export async function restoreMount(
  mount: CachedMount,
  backend: CacheBackend,
  { directory: target, setTimesNs, signal }: RestoreOptions,
): Promise<void> {
  const index = await readMountIndex(mount, backend, signal);
  const pathOf = ({ path }: Pick<MountEntry, 'path'>) => join(target, path);
  const files = new Map<number, { file: string; at: number }[]>();
  for (const entry of index.entries) {
    if (entry.type === 'directory' && entry.path !== '') mkdirSync(pathOf(entry), { mode: 0o700 });
    if (entry.type !== 'file') continue;
    closeSync(openSync(pathOf(entry), constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600));
    let at = 0;
    for (const chunk of entry.chunks ?? []) {
      const uses = files.get(chunk) ?? [];
      uses.push({ file: pathOf(entry), at });
      files.set(chunk, uses);
      at += index.chunks[chunk]!.length;
    }
  }
  const numbers = mount.packs.map((_, i) => i);
  await inParallel(numbers, PACKS_AT_ONCE, async (number) => {
    const data = await unpacked(mount.packs[number]!, backend, signal);
    index.chunks.forEach(({ pack, offset, length }, chunk) => {
      if (pack !== number) return;
      if (offset + length > data.length)
        throw new BuildError('CACHE_INVALID', 'a pack of a cache mount is too short');
      for (const { file, at } of files.get(chunk) ?? [])
        writeAt(file, data.subarray(offset, offset + length), at);
    });
  });
  for (const entry of index.entries) {
    if (entry.type === 'symlink') symlinkSync(entry.link ?? '', pathOf(entry));
    else if (entry.type === 'hardlink') linkSync(join(target, entry.link!), pathOf(entry));
  }
  // Children first: what happens in a directory sets its time.
  for (const entry of index.entries.toReversed()) setAttributes(pathOf(entry), entry, setTimesNs);
}

function writeAt(file: string, data: Uint8Array, at: number): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_NOFOLLOW);
  try {
    for (let done = 0; done < data.length;) done += writeSync(fd, data, done, data.length - done, at + done);
  } finally {
    closeSync(fd);
  }
}

function setAttributes(
  path: string,
  { type, mode, uid, gid, mtimeNs }: MountEntry,
  setTimesNs: RestoreOptions['setTimesNs'],
): void {
  if (type === 'hardlink') return;
  if (type === 'symlink') {
    lchownSync(path, uid, gid);
  } else {
    chownSync(path, uid, gid);
    chmodSync(path, mode);
  }
  setTimesNs(path, BigInt(mtimeNs), BigInt(mtimeNs));
}

async function unpacked(pack: Descriptor, backend: CacheBackend, signal: AbortSignal): Promise<Buffer> {
  const bytes = await verified(pack, backend, signal);
  return pack.mediaType.endsWith('+gzip')
    ? promisify(gunzip)(bytes, { maxOutputLength: MOST_UNPACKED_BYTES })
    : bytes;
}

async function verified(blob: Descriptor, backend: CacheBackend, signal: AbortSignal): Promise<Buffer> {
  if (blob.size > MOST_UNPACKED_BYTES)
    throw new BuildError('CACHE_INVALID', `blob ${blob.digest} is too large`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of backend.get(blob, signal)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (bytes.length === blob.size && (await matchesDigest(bytes, blob.digest))) return bytes;
  throw new BuildError('CACHE_INVALID', `blob ${blob.digest} of a cache mount has other bytes`);
}
