import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { BuildError, throwIfAborted } from '../../errors.js';
import { digestFromHash } from '../../oci/digest.js';
import { type ReadTarEntry, readTar } from '../../oci/tar/tar-reader.js';
import { inUserNamespace } from '../sys/namespaces.js';
import { makeNode, setXattr } from '../sys/syscalls.js';
import type { LayerEntry, LayerIndex } from './layer-index.js';
import { baseName, comparePaths, joinPath, parentPath } from './path-order.js';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
const ENTRIES_PER_TURN = 500;

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
  const entries = new Map<string, LayerEntry>();
  let count = 0;
  for await (const read of readTar(source)) {
    if (++count % ENTRIES_PER_TURN === 0) {
      await yieldToEvents();
      throwIfAborted(signal);
    }
    const entry = layerEntry(read, entries);
    if (!entry) continue;
    const sink: ContentSink = {};
    onEntry?.(entry, sink);
    const digest = entry.type === 'file' ? await consume(read, sink) : undefined;
    dropBelow(entries, entry);
    entries.set(entry.path, digest ? { ...entry, digest, offset: read.offset } : entry);
  }
  const sorted = [...entries.values()].sort((a, b) => comparePaths(a.path, b.path));
  return { entries: sorted, impliedDirectories: impliedDirectories(entries) };
}

/** Where a file's content goes while it is read. */
export interface ContentSink {
  write?: (chunk: Uint8Array) => void;
  end?: () => void;
}

async function consume(read: ReadTarEntry, sink: ContentSink) {
  const hash = createHash('sha256');
  try {
    for await (const chunk of read.content) {
      hash.update(chunk);
      sink.write?.(chunk);
    }
  } finally {
    sink.end?.();
  }
  return digestFromHash(hash);
}

/** The entry with a clean path; whiteouts by their marker; undefined for what only other tools understand. */
function layerEntry(read: ReadTarEntry, entries: Map<string, LayerEntry>): LayerEntry | undefined {
  const path = cleanPath(read.name, read.name);
  const name = baseName(path);
  const { mode, uid, gid, mtimeSec } = read;
  if (name === '.wh..wh..opq') {
    const dir = parentPath(path);
    const known = entries.get(dir);
    entries.set(dir, {
      ...(known ?? { path: dir, type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSec: 0 }),
      opaque: true,
    });
    return undefined;
  }
  if (name.startsWith('.wh..wh.')) return undefined;
  if (name.startsWith('.wh.')) {
    return {
      path: joinPath(parentPath(path), name.slice(4)),
      type: 'whiteout',
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0,
      mtimeSec: 0,
    };
  }
  const opaque = read.type === 'directory' && entries.get(path)?.opaque;
  const xattrs =
    read.xattrs && Object.entries(read.xattrs).filter(([key]) => !/^(trusted|user)\.overlay\./.test(key));
  return {
    path,
    type: read.type,
    mode,
    uid,
    gid,
    size: read.size,
    mtimeSec,
    ...(read.linkName === undefined
      ? {}
      : { linkName: read.type === 'hardlink' ? cleanPath(read.linkName, read.name) : read.linkName }),
    ...(read.deviceMajor === undefined
      ? {}
      : { deviceMajor: read.deviceMajor, deviceMinor: read.deviceMinor ?? 0 }),
    ...(xattrs?.length
      ? { xattrs: Object.fromEntries(xattrs.map(([key, value]) => [key, value.toString('base64')])) }
      : {}),
    ...(opaque ? { opaque: true } : {}),
  };
}

/** An entry that is no directory removes what an earlier one had below its path. */
function dropBelow(entries: Map<string, LayerEntry>, entry: LayerEntry): void {
  if (entry.type === 'directory' || entries.get(entry.path)?.type !== 'directory') return;
  for (const path of entries.keys()) if (path.startsWith(`${entry.path}/`)) entries.delete(path);
}

/** Relative without `.` and empty parts. A `..` is an attack or a damaged archive. */
function cleanPath(name: string, entryName: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || name.includes('\0')) {
    throw new BuildError('TAR_INVALID', `the archive's entry "${entryName}" points outside of its root`);
  }
  return parts.join('/');
}

function impliedDirectories(entries: ReadonlyMap<string, LayerEntry>): string[] {
  const implied = new Set<string>();
  for (const path of entries.keys()) {
    for (
      let dir = parentPath(path);
      dir !== '' && !entries.has(dir) && !implied.has(dir);
      dir = parentPath(dir)
    )
      implied.add(dir);
  }
  return [...implied].sort(comparePaths);
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
  const made = new Set(['']);
  const index = await readLayer(source, signal, (entry, sink) => {
    makeParents(target, entry, made);
    place(target, entry, sink, made);
  });
  for (const entry of index.entries)
    if (entry.opaque) setXattr(join(target, entry.path), opaqueXattr(), Buffer.from('y'));
  for (const entry of index.entries.toReversed()) {
    if (entry.type === 'directory') utimesSync(join(target, entry.path), entry.mtimeSec, entry.mtimeSec);
  }
  return index;
}

export function opaqueXattr(): string {
  return inUserNamespace() ? 'user.overlay.opaque' : 'trusted.overlay.opaque';
}

/**
 * Makes the directories above an entry. A link at one of their places, put there by the archive itself, is an attack:
 * following it would write elsewhere.
 */
function makeParents(target: string, entry: LayerEntry, made: Set<string>): void {
  const dir = parentPath(entry.path);
  if (made.has(dir)) return;
  makeParents(target, { ...entry, path: dir }, made);
  const path = join(target, dir);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat && !stat.isDirectory()) {
    throw new BuildError(
      'TAR_INVALID',
      `the archive's entry "${entry.path}" goes through "${dir}", which is no directory`,
    );
  }
  if (!stat) {
    mkdirSync(path, 0o755);
    chmodSync(path, 0o755);
  }
  made.add(dir);
}

function place(target: string, entry: LayerEntry, sink: ContentSink, made: Set<string>): void {
  const path = join(target, entry.path);
  const existing = lstatSync(path, { throwIfNoEntry: false });
  const keeps = existing?.isDirectory() && entry.type === 'directory';
  if (existing && !keeps) {
    rmSync(path, { recursive: true, force: true });
    for (const dir of made) if (dir === entry.path || dir.startsWith(`${entry.path}/`)) made.delete(dir);
  }
  switch (entry.type) {
    case 'file':
      openFile(path, entry, sink);
      return;
    case 'directory':
      if (!keeps) mkdirSync(path);
      made.add(entry.path);
      break;
    case 'symlink':
      symlinkSync(entry.linkName!, path);
      break;
    case 'hardlink':
      placeHardlink(target, entry, path);
      return;
    case 'whiteout':
      makeNode(path, S_IFCHR, 0, 0);
      return;
    case 'char':
    case 'block':
      // Only whiteouts can be made in a user namespace; the listing still has the device.
      if (inUserNamespace()) return;
      makeNode(
        path,
        (entry.type === 'char' ? S_IFCHR : S_IFBLK) | 0o600,
        entry.deviceMajor ?? 0,
        entry.deviceMinor ?? 0,
      );
      break;
    case 'fifo':
      makeNode(path, S_IFIFO | 0o600, 0, 0);
      break;
  }
  applyAttributes(path, entry);
}

function openFile(path: string, entry: LayerEntry, sink: ContentSink): void {
  const fd = openSync(path, 'wx', 0o600);
  sink.write = (chunk) => {
    for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
  };
  sink.end = () => {
    closeSync(fd);
    applyAttributes(path, entry);
  };
}

function placeHardlink(target: string, entry: LayerEntry, path: string): void {
  const source = join(target, entry.linkName!);
  const stat = lstatSync(source, { throwIfNoEntry: false });
  if (!stat || stat.isDirectory()) {
    throw new BuildError(
      'TAR_INVALID',
      `the archive's hard link "${entry.path}" points to "${entry.linkName}", which it does not hold`,
    );
  }
  for (let dir = parentPath(entry.linkName!); dir !== ''; dir = parentPath(dir)) {
    if (!lstatSync(join(target, dir)).isDirectory()) {
      throw new BuildError(
        'TAR_INVALID',
        `the archive's hard link "${entry.path}" goes through a symbolic link`,
      );
    }
  }
  linkSync(source, path);
}

/** Owner before mode, since chown drops setuid; xattrs after both, since chown drops capabilities. */
function applyAttributes(path: string, entry: LayerEntry): void {
  lchownSync(path, entry.uid, entry.gid);
  if (entry.type !== 'symlink') chmodSync(path, entry.mode);
  for (const [name, value] of Object.entries(entry.xattrs ?? {})) setXattrWherePossible(path, name, value);
  if (entry.type !== 'directory') lutimesSync(path, entry.mtimeSec, entry.mtimeSec);
}

/** The listing keeps every attribute; a file system or namespace that refuses one must not end the build. */
function setXattrWherePossible(path: string, name: string, value: string): void {
  try {
    setXattr(path, name, Buffer.from(value, 'base64'));
  } catch (error) {
    if (
      !['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL', 'EACCES'].includes(
        (error as NodeJS.ErrnoException).code ?? '',
      )
    )
      throw error;
  }
}
