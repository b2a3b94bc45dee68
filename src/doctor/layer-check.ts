import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { opaqueXattr } from '../worker/snapshot/extract.js';
import type { LayerEntry, LayerIndex } from '../worker/snapshot/layer-index.js';
import { digestOfFile } from '../worker/sys/file-hash.js';
import { parentPath } from '../worker/snapshot/path-order.js';
import { inUserNamespace } from '../worker/sys/namespaces.js';
import { getXattr } from '../worker/sys/syscalls.js';

/**
 * What in a layer's directory is not as its listing says: type, size, mode, owner, link target and, with `contents`, the
 * bytes. More files than the listing has are no damage: a RUN leaves what it looked at and did not change.
 */
export function* layerDifferences(
  directory: string,
  index: LayerIndex,
  { contents }: { contents: boolean },
): Generator<string> {
  const unprivileged = inUserNamespace();
  for (const entry of index.entries) {
    // In a user namespace devices exist in the listing only.
    if (unprivileged && (entry.type === 'char' || entry.type === 'block')) continue;
    const problem = differenceOf(directory, entry, contents);
    if (problem !== undefined) yield `"${entry.path}" ${problem}`;
  }
  for (const path of index.impliedDirectories) {
    if (!lstatSync(join(directory, path), { throwIfNoEntry: false })?.isDirectory())
      yield `"${path}" is no directory`;
  }
}

function differenceOf(directory: string, entry: LayerEntry, contents: boolean): string | undefined {
  const path = join(directory, entry.path);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (entry.type === 'whiteout') {
    if (stat ? isWhiteout(stat) : isBelowOpaque(directory, entry.path)) return undefined;
    return stat ? 'should hide a file and is one' : 'should hide a file and is missing';
  }
  if (!stat) return 'is missing';
  if (entry.type === 'hardlink') {
    const target = lstatSync(join(directory, entry.linkName!), { throwIfNoEntry: false });
    return target?.ino === stat.ino ? undefined : `is no hard link to "${entry.linkName}"`;
  }
  if (!isOfType(stat, entry.type)) return `is no ${entry.type}`;
  if (stat.uid !== entry.uid || stat.gid !== entry.gid)
    return `belongs to ${stat.uid}:${stat.gid}, not to ${entry.uid}:${entry.gid}`;
  if (entry.type === 'symlink') {
    const target = readlinkSync(path);
    return target === entry.linkName ? undefined : `points to "${target}", not to "${entry.linkName}"`;
  }
  const mode = stat.mode & 0o7777;
  if (mode !== entry.mode) return `has the mode ${mode.toString(8)}, not ${entry.mode.toString(8)}`;
  return entry.type === 'file' ? fileDifference(path, entry, stat, contents) : undefined;
}

function fileDifference(path: string, entry: LayerEntry, stat: Stats, contents: boolean): string | undefined {
  if (stat.size !== entry.size) return `has ${stat.size} bytes, not ${entry.size}`;
  const capability = entry.xattrs?.['security.capability'];
  if (capability !== undefined) {
    const found = getXattr(path, 'security.capability')?.toString('base64');
    // A file system that refused the attribute has none; the listing keeps it.
    if (found !== undefined && found !== capability) return 'has other capabilities';
  }
  if (!contents || entry.digest === undefined) return undefined;
  return digestOfFile(path) === entry.digest ? undefined : 'has other content';
}

function isOfType(stat: Stats, type: LayerEntry['type']): boolean {
  switch (type) {
    case 'file':
      return stat.isFile();
    case 'directory':
      return stat.isDirectory();
    case 'symlink':
      return stat.isSymbolicLink();
    case 'fifo':
      return stat.isFIFO();
    case 'char':
      return stat.isCharacterDevice();
    case 'block':
      return stat.isBlockDevice();
    default:
      return false;
  }
}

function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0;
}

/** What an opaque directory hides has a whiteout in the listing and none on disk. */
function isBelowOpaque(directory: string, path: string): boolean {
  for (let dir = parentPath(path); ; dir = parentPath(dir)) {
    const full = join(directory, dir);
    if (lstatSync(full, { throwIfNoEntry: false })?.isDirectory()) {
      if (getXattr(full, opaqueXattr())?.toString('latin1') === 'y') return true;
    }
    if (dir === '') return false;
  }
}
