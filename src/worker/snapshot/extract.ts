import { createHash } from 'node:crypto';
import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { BuildError, throwIfAborted } from '../../errors.js';
import type { Layer } from '../../graph/contract.js';
import type { Mutable } from '../../mutable.js';
import { type Digest, digestFromHash, digestOf } from '../../oci/digest.js';
import { fileTime } from '../../oci/tar/tar-entry.js';
import { type ReadTarEntry, readTar } from '../../oci/tar/tar-reader.js';
import { inUserNamespace } from '../sys/namespaces.js';
import { setXattr } from '../sys/syscalls.js';
import type { LayerEntry, LayerIndex } from './layer-index.js';
import { LayerListing } from './layer-listing.js';
import { type ContentSink, Placing, throughNoDirectory } from './placing.js';
import { baseName, joinPath, parentPath } from './path-order.js';

const ENTRIES_PER_TURN = 500;
const EMPTY = new Uint8Array(0);

/**
 * Reads a layer's tar into a listing, with the digest of each file. The later of two entries of one path wins; names are
 * cleaned, and one that leaves the root is an error.
 * @param onEntry sees each entry in the archive's order and must consume the content it wants
 * @throws TAR_INVALID
 */
export async function readLayer(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  onEntry?: (entry: LayerEntry, write: ContentSink) => void,
): Promise<LayerIndex> {
  const listing = new LayerListing();
  let count = 0;
  for await (const read of readTar(source)) {
    if (++count % ENTRIES_PER_TURN === 0) {
      await yieldToEvents();
      throwIfAborted(signal);
    }
    const entry = layerEntry(read, listing);
    if (!entry) continue;
    const sink: ContentSink = {};
    onEntry?.(entry, sink);
    const reading = entry.type === 'file' ? consume(read, sink) : undefined;
    const digest = typeof reading === 'object' ? await reading : reading;
    if (digest) [entry.digest, entry.offset] = [digest, read.offset];
    listing.add(entry);
  }
  return listing.finish();
}

/** Reads a file's content to its end; without a promise where all of it is at hand. */
function consume({ content, size }: ReadTarEntry, sink: ContentSink): Digest | Promise<Digest> {
  const first = content.next() ?? EMPTY;
  if (first.length === size) {
    try {
      sink.write?.(first);
    } finally {
      sink.end?.();
    }
    return digestOf(first);
  }
  return consumeParts(first, content, sink);
}

async function consumeParts(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
  sink: ContentSink,
): Promise<Digest> {
  const hash = createHash('sha256');
  try {
    hash.update(first);
    sink.write?.(first);
    for await (const chunk of rest) {
      hash.update(chunk);
      sink.write?.(chunk);
    }
  } finally {
    sink.end?.();
  }
  return digestFromHash(hash);
}

/** The entry with a clean path; whiteouts by their marker; undefined for what only other tools understand. */
function layerEntry(read: ReadTarEntry, listing: LayerListing): Mutable<LayerEntry> | undefined {
  const path = cleanPath(read.name, read.name);
  const name = baseName(path);
  const { mode, uid, gid, mtimeSec } = read;
  if (name === '.wh..wh..opq') return opaqueDirectory(parentPath(path), listing);
  if (name.startsWith('.wh..wh.')) return undefined;
  if (name.startsWith('.wh.')) return whiteoutEntry(path);
  if (path === '' && read.type !== 'directory')
    throw new BuildError('TAR_INVALID', `the archive has a ${read.type} in place of its root`);
  const entry: Mutable<LayerEntry> = { path, type: read.type, mode, uid, gid, size: read.size, mtimeSec };
  if (read.linkName !== undefined)
    entry.linkName = read.type === 'hardlink' ? cleanPath(read.linkName, read.name) : read.linkName;
  if (read.deviceMajor !== undefined)
    [entry.deviceMajor, entry.deviceMinor] = [read.deviceMajor, read.deviceMinor ?? 0];
  const xattrs =
    read.xattrs && Object.entries(read.xattrs).filter(([key]) => !/^(trusted|user)\.overlay\./.test(key));
  if (xattrs?.length)
    entry.xattrs = Object.fromEntries(xattrs.map(([key, value]) => [key, value.toString('base64')]));
  if (read.type === 'directory' && listing.get(path)?.opaque) entry.opaque = true;
  return entry;
}

/** The directory of an opaque marker, with what is known of it. */
function opaqueDirectory(path: string, listing: LayerListing): LayerEntry {
  const known = listing.get(path);
  if (known && known.type !== 'directory') throw throughNoDirectory(joinPath(path, '.wh..wh..opq'), path);
  return {
    ...(known ?? { path, type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSec: 0 }),
    opaque: true,
  };
}

/** What the marker deletes is one name in its own directory: `.wh...` would delete the directory above. */
function whiteoutEntry(path: string): LayerEntry {
  const name = baseName(path).slice('.wh.'.length);
  if (['', '.', '..'].includes(name))
    throw new BuildError('TAR_INVALID', `the archive's whiteout "${path}" points outside of its directory`);
  const deleted = joinPath(parentPath(path), name);
  return { path: deleted, type: 'whiteout', mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 };
}

/** An empty part, `.` or `..`, or a NUL somewhere. */
const UNCLEAN = /(?:^|\/)\.{0,2}(?:\/|$)|\0/;

/** Relative without `.` and empty parts. A `..` is an attack or a damaged archive. */
function cleanPath(name: string, entryName: string): string {
  if (!UNCLEAN.test(name)) return name;
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0')) {
    throw new BuildError('TAR_INVALID', `the archive's entry "${entryName}" points outside of its root`);
  }
  return parts.join('/');
}

/** The bytes of a layer's tar as they are unpacked from a blob. @throws BLOB_CORRUPT where they are not what the diffID names */
export async function* checkedTar(
  source: AsyncIterable<Uint8Array>,
  { diffId, blob }: Pick<Layer, 'diffId' | 'blob'>,
): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of source) {
    hash.update(chunk);
    yield chunk;
  }
  const digest = digestFromHash(hash);
  if (digest === diffId) return;
  throw new BuildError(
    'BLOB_CORRUPT',
    `layer ${blob?.digest} unpacks to ${digest}; the image's config says ${diffId}`,
    { hint: 'the image is damaged at its source; pull another tag or build it again' },
  );
}

/**
 * Unpacks a layer's tar into `target` in overlay upper form: whiteouts as character devices 0:0, opaque directories by
 * xattr. Nothing is written through a symbolic link or outside of `target`. Times of directories are set at the end.
 * @throws TAR_INVALID
 */
export async function extractLayer(
  source: AsyncIterable<Uint8Array>,
  target: string,
  signal?: AbortSignal,
): Promise<LayerIndex> {
  const place = new Placing(target);
  const index = await readLayer(source, signal, (entry, sink) => place.add(entry, sink));
  for (const entry of index.entries)
    if (entry.opaque) setXattr(join(target, entry.path), opaqueXattr(), Buffer.from('y'));
  for (const entry of index.entries.toReversed()) {
    if (entry.type === 'directory')
      utimesSync(join(target, entry.path), fileTime(entry.mtimeSec), fileTime(entry.mtimeSec));
  }
  return index;
}

export function opaqueXattr(): string {
  return inUserNamespace() ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
}
