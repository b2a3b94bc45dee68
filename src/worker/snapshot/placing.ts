import {
  chmodSync,
  closeSync,
  fchmodSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createSpaceGuard } from '../../cache/free-space.js';
import { BuildError } from '../../errors.js';
import { isErrno } from '../sys/libc.js';
import { fileTime } from '../../oci/tar/tar-entry.js';
import { inUserNamespace } from '../sys/namespaces.js';
import { setOwner } from '../sys/subordinate-ids.js';
import { makeNode, setXattr } from '../sys/syscalls.js';
import type { LayerEntry } from './layer-index.js';
import { parentPath } from './path-order.js';

const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
const S_ISGID = 0o2000;

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

  readonly #guard: (bytes: number) => void;
  /** What a new file gets without being told: saves two of seven system calls for most files. */
  readonly #uid = process.geteuid!();
  readonly #gid = process.getegid!();
  readonly #umask = process.umask();
  /** Whether some directory gives what is made in it a group of its own. */
  #givesGroup: boolean;

  constructor(target: string) {
    this.#target = target;
    this.#guard = createSpaceGuard(join(target, 'content'));
    this.#givesGroup = (statSync(target).mode & S_ISGID) !== 0;
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

  /** What has the name is only looked for when it is in the way: nearly all names of an archive come once. */
  #place(entry: LayerEntry, sink: ContentSink): void {
    const path = join(this.#target, entry.path);
    this.#leftOut.delete(entry.path);
    try {
      this.#make(entry, path, sink);
      return;
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    const isDirectory = lstatSync(path).isDirectory();
    if (isDirectory && entry.type === 'directory') this.#finishDirectory(entry, path);
    else {
      this.#clear(entry, path, isDirectory);
      this.#make(entry, path, sink);
    }
  }

  /** Fails with EEXIST where something has the name. */
  #make(entry: LayerEntry, path: string, sink: ContentSink): void {
    switch (entry.type) {
      case 'file':
        this.#openFile(path, entry, sink);
        return;
      case 'directory':
        mkdirSync(path);
        this.#finishDirectory(entry, path);
        return;
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
    this.#applyAttributes(path, entry);
  }

  #finishDirectory(entry: LayerEntry, path: string): void {
    this.#made.add(entry.path);
    this.#givesGroup ||= (entry.mode & S_ISGID) !== 0;
    this.#applyAttributes(path, entry);
  }

  #openFile(path: string, entry: LayerEntry, sink: ContentSink): void {
    const isPlain = (entry.mode & ~0o777) === 0 && (entry.mode & this.#umask) === 0;
    const fd = openSync(path, 'wx', isPlain ? entry.mode : 0o600);
    sink.write = (chunk) => {
      try {
        this.#guard(chunk.length);
        for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
      } catch (error) {
        throw unpackError(entry, error);
      }
    };
    sink.end = () => {
      try {
        this.#giveOwner(path, entry);
        if (!isPlain) fchmodSync(fd, entry.mode);
        setXattrs(path, entry);
        futimesSync(fd, fileTime(entry.mtimeSec), fileTime(entry.mtimeSec));
      } catch (error) {
        throw unpackError(entry, error);
      } finally {
        closeSync(fd);
      }
    };
  }

  /** What this process makes has an owner by itself. */
  #giveOwner(path: string, entry: LayerEntry): void {
    const { uid, gid } = entry;
    if (uid === this.#uid && gid === this.#gid && !this.#givesGroup) return;
    setOwner(path, uid, gid, () => `"${shortened(entry.path)}" of the layer belongs to ${uid}:${gid}`);
  }

  /** Owner before mode, since chown drops setuid; xattrs after both, since chown drops capabilities. */
  #applyAttributes(path: string, entry: LayerEntry): void {
    this.#giveOwner(path, entry);
    if (entry.type !== 'symlink') chmodSync(path, entry.mode);
    setXattrs(path, entry);
    if (entry.type !== 'directory') lutimesSync(path, fileTime(entry.mtimeSec), fileTime(entry.mtimeSec));
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

function setXattrs(path: string, { xattrs }: LayerEntry): void {
  for (const name in xattrs) setXattrWherePossible(path, name, xattrs[name]!);
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
