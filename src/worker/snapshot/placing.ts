import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createSpaceGuard } from '../../cache/free-space.js';
import { BuildError } from '../../errors.js';
import { inUserNamespace } from '../sys/namespaces.js';
import { setOwner } from '../sys/subordinate-ids.js';
import { makeNode, setXattr } from '../sys/syscalls.js';
import type { LayerEntry } from './layer-index.js';
import { parentPath } from './path-order.js';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;

/** Where a file's content goes while it is read. */
export interface ContentSink {
  write?: (chunk: Uint8Array) => void;
  end?: () => void;
}

/** Makes below a directory what the entries of an archive say, one after the other, and nothing outside of it. */
export class Placing {
  readonly #target: string;
  /** Directories that are known to be there. */
  readonly #made = new Set(['']);
  /** Devices that a user namespace does not let us make. */
  readonly #leftOut = new Set<string>();

  constructor(target: string) {
    this.#target = target;
  }

  /** @throws TAR_INVALID for what would reach out of the target or that no file system holds */
  add(entry: LayerEntry, sink: ContentSink): void {
    try {
      this.#makeParents(entry.path, parentPath(entry.path));
      this.#place(entry, sink);
    } catch (error) {
      throw unpackError(entry, error);
    }
  }

  /**
   * Makes the directories above an entry. A link at one of their places, put there by the archive itself, is an attack:
   * following it would write elsewhere.
   */
  #makeParents(path: string, dir: string): void {
    const missing: string[] = [];
    for (let at = dir; !this.#made.has(at); at = parentPath(at)) missing.push(at);
    for (const at of missing.reverse()) {
      const directory = join(this.#target, at);
      const stat = lstatSync(directory, { throwIfNoEntry: false });
      if (stat && !stat.isDirectory()) throw throughNoDirectory(path, at);
      if (!stat) {
        mkdirSync(directory, 0o755);
        chmodSync(directory, 0o755);
      }
      this.#made.add(at);
    }
  }

  #place(entry: LayerEntry, sink: ContentSink): void {
    const path = join(this.#target, entry.path);
    const existing = lstatSync(path, { throwIfNoEntry: false });
    const keeps = existing?.isDirectory() && entry.type === 'directory';
    if (existing && !keeps) this.#clear(entry, path, existing.isDirectory());
    this.#leftOut.delete(entry.path);
    switch (entry.type) {
      case 'file':
        openFile(path, entry, sink);
        return;
      case 'directory':
        if (!keeps) mkdirSync(path);
        this.#made.add(entry.path);
        break;
      case 'symlink':
        symlinkSync(entry.linkName!, path);
        break;
      case 'hardlink':
        if (this.#leftOut.has(entry.linkName!)) this.#leftOut.add(entry.path);
        else placeHardlink(this.#target, entry, path);
        return;
      case 'whiteout':
        makeNode(path, S_IFCHR, 0, 0);
        return;
      case 'char':
      case 'block':
        // Only whiteouts can be made in a user namespace; the listing still has the device.
        if (inUserNamespace()) {
          this.#leftOut.add(entry.path);
          return;
        }
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

  #clear(entry: LayerEntry, path: string, isDirectory: boolean): void {
    rmSync(path, { recursive: true, force: true });
    if (!isDirectory) return;
    for (const dir of this.#made)
      if (dir === entry.path || dir.startsWith(`${entry.path}/`)) this.#made.delete(dir);
  }
}

export function throughNoDirectory(path: string, dir: string): BuildError {
  return new BuildError(
    'TAR_INVALID',
    `the archive's entry "${path}" goes through "${dir}", which is no directory`,
  );
}

function shortened(path: string): string {
  return path.length > 100 ? `${path.slice(0, 100)}…` : path;
}

/** What the file system says to an entry, in words of the archive. */
function unpackError(entry: LayerEntry, error: unknown): unknown {
  if (error instanceof BuildError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const isOurs = ['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'EIO', 'EROFS', 'ENOMEM'].includes(code ?? '');
  return new BuildError(
    isOurs ? 'STORE_FAILED' : 'TAR_INVALID',
    `the archive's entry "${shortened(entry.path)}" cannot be made: ${code ?? message}`,
    { cause: error },
  );
}

function openFile(path: string, entry: LayerEntry, sink: ContentSink): void {
  const fd = openSync(path, 'wx', 0o600);
  const guard = createSpaceGuard(path);
  sink.write = (chunk) => {
    try {
      guard(chunk.length);
      for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
    } catch (error) {
      throw unpackError(entry, error);
    }
  };
  sink.end = () => {
    closeSync(fd);
    try {
      applyAttributes(path, entry);
    } catch (error) {
      throw unpackError(entry, error);
    }
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
  setOwner(
    path,
    entry.uid,
    entry.gid,
    () => `"${shortened(entry.path)}" of the layer belongs to ${entry.uid}:${entry.gid}`,
  );
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
