import { lstatSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { wholeSeconds } from '../../oci/tar/tar-entry.js';
import { listNames, readLinkTarget } from '../sys/directory-names.js';
import { digestOfFile } from '../sys/file-hash.js';
import { getXattr, listXattrs } from '../sys/syscalls.js';
import { opaqueXattr } from './extract.js';
import type { LayerEntry } from './layer-index.js';
import { joinPath } from './path-order.js';
import type { UnionView } from './union-view.js';

/** What an upper directory changes, in the order of a layer. */
export interface ChangedEntry {
  readonly entry: LayerEntry;
  /** Where a file's bytes are. */
  readonly file?: string;
}

interface Candidate {
  readonly path: string;
  readonly file: string;
  readonly stat: Stats;
  readonly entry: LayerEntry;
  readonly changed: boolean;
}

/**
 * The change set of an overlay upper directory against the file system below it. Whiteouts become whiteout entries where
 * something is to be hidden; opaque directories become one whiteout for each hidden name, never an opaque marker; what was
 * copied up and stayed equal is left out; directories above a change come along with their own attributes. Sockets are left
 * out. Changed names of one inode are hard links; a new name of an unchanged file is a file of its own, as BuildKit has it.
 */
export function listChanges(upper: string, below: UnionView): ChangedEntry[] {
  const candidates = [...walkUpper({ upper, below, sinceMs: lstatSync(upper).birthtimeMs }, '', false)];
  const needed = new Set<string>();
  for (const { path, changed } of candidates) if (changed) addParents(path, needed);
  const firstOf = new Map<number, string>();
  const changes: ChangedEntry[] = [];
  for (const candidate of candidates) {
    const { changed, entry, path } = candidate;
    if (!changed && !(entry.type === 'directory' && needed.has(path))) continue;
    changes.push(changeOf(candidate, firstOf));
  }
  return changes;
}

function changeOf(candidate: Candidate, firstOf: Map<number, string>): ChangedEntry {
  const { entry, file, stat } = candidate;
  if (entry.type !== 'file') return { entry };
  if (!isLinked(candidate)) return { entry, file };
  const first = firstOf.get(stat.ino);
  if (first === undefined) {
    firstOf.set(stat.ino, candidate.path);
    return { entry, file };
  }
  const { digest: _digest, ...rest } = entry;
  return { entry: { ...rest, type: 'hardlink', size: 0, linkName: first } };
}

function isLinked(candidate: Candidate): boolean {
  return candidate.entry.type === 'file' && candidate.stat.nlink > 1;
}

function addParents(path: string, into: Set<string>): void {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1))
    into.add(path.slice(0, slash));
}

interface Walk {
  readonly upper: string;
  readonly below: UnionView;
  /** When the upper directory was made; 0 where the file system does not know it. */
  readonly sinceMs: number;
}

/** @param hidden true below an opaque directory: nothing of the lower one shows, so its names need whiteouts */
function* walkUpper(walk: Walk, dir: string, hidden: boolean): Generator<Candidate> {
  const { upper, below } = walk;
  const names = new Set(listNames(join(upper, dir)));
  const lost = hidden ? below.list(dir).filter((name) => !names.has(name)) : [];
  for (const name of [...names, ...lost].sort()) {
    const path = joinPath(dir, name);
    const file = join(upper, path);
    const lower = below.lookup(path)?.entry;
    const stat = names.has(name) ? lstatSync(file) : undefined;
    if (!stat || isWhiteout(stat)) {
      if (lower) yield { path, file, stat: stat ?? lstatSync(upper), entry: whiteout(path), changed: true };
      continue;
    }
    if (stat.isSocket()) continue;
    const entry = entryOf(path, file, stat);
    const changed = hidden || !lower || isTouched(stat, walk) || isChanged(entry, lower, file);
    yield { path, file, stat, entry, changed };
    if (!stat.isDirectory()) continue;
    yield* walkUpper(walk, path, lower?.type === 'directory' && (hidden || isOpaque(file)));
  }
}

function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0;
}

function isOpaque(dir: string): boolean {
  return getXattr(dir, opaqueXattr())?.toString('latin1') === 'y';
}

function whiteout(path: string): LayerEntry {
  return { path, type: 'whiteout', mode: 0, uid: 0, gid: 0, size: 0, mtimeSec: 0 };
}

/** Times of directories do not count: a build step changes them by looking around. */
function isChanged(entry: LayerEntry, lower: LayerEntry, file: string): boolean {
  if (
    entry.type !== lower.type ||
    entry.mode !== lower.mode ||
    entry.uid !== lower.uid ||
    entry.gid !== lower.gid
  )
    return true;
  if (entry.deviceMajor !== lower.deviceMajor || entry.deviceMinor !== lower.deviceMinor) return true;
  if (entry.xattrs?.['security.capability'] !== lower.xattrs?.['security.capability']) return true;
  if (entry.type === 'directory') return false;
  if (entry.linkName !== lower.linkName || entry.mtimeSec !== lower.mtimeSec || entry.size !== lower.size)
    return true;
  // What was written with an old time is told by its bytes.
  return entry.type === 'file' && (lower.digest === undefined || digestOfFile(file) !== lower.digest);
}

/** Listings have whole seconds: a file that was touched within the second in which it was made must not depend on the clock. */
function isTouched(stat: Stats, { sinceMs }: Walk): boolean {
  return !stat.isDirectory() && sinceMs > 0 && stat.mtimeMs >= sinceMs && stat.mtimeMs <= Date.now();
}

function entryOf(path: string, file: string, stat: Stats): LayerEntry {
  const type = typeOf(stat);
  const capability =
    type === 'file' && (stat.mode & 0o111) !== 0 && listXattrs(file).includes('security.capability')
      ? getXattr(file, 'security.capability')
      : undefined;
  return {
    path,
    type,
    mode: type === 'symlink' ? 0o777 : stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: type === 'file' ? stat.size : 0,
    mtimeSec: wholeSeconds(stat.mtimeMs / 1000),
    ...(type === 'symlink' ? { linkName: readLinkTarget(file) } : {}),
    ...(type === 'char' || type === 'block' ? deviceOf(stat.rdev) : {}),
    ...(capability ? { xattrs: { 'security.capability': capability.toString('base64') } } : {}),
  };
}

function typeOf(stat: Stats): Exclude<LayerEntry['type'], 'hardlink' | 'whiteout'> {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isFIFO()) return 'fifo';
  return stat.isCharacterDevice() ? 'char' : 'block';
}

/** Linux's 64-bit device number, as makedev(3) lays it out. */
function deviceOf(rdev: number): { deviceMajor: number; deviceMinor: number } {
  const device = BigInt(rdev);
  return {
    deviceMajor: Number(((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn)),
    deviceMinor: Number(((device >> 12n) & 0xffffff00n) | (device & 0xffn)),
  };
}
