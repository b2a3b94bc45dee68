import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimesNs } from '../sys/syscalls.js';
import { isPlainPath, resolveInRoot } from './root-path.js';
import type { ProcessMount } from './executor.js';

interface Stub {
  readonly path: string;
  readonly isDirectory: boolean;
}

/**
 * Makes the targets of bind mounts that the root file system lacks, parents included, and gives a function that removes those that
 * are still empty. Times of the directories around them stay as they were, so that a mount leaves no trace in a layer.
 * What is below /dev, /proc and /sys is made by the executor, on the file systems that it mounts there.
 */
export function createMountStubs(rootfs: string, mounts: readonly ProcessMount[]): () => void {
  const stubs: Stub[] = [];
  for (const mount of mounts) {
    if (/^\/(dev|proc|sys)\//.test(mount.target)) continue;
    const target = resolveInRoot(rootfs, mount.target);
    addStub({ path: target, isDirectory: statSync(mount.source).isDirectory() }, stubs);
  }
  return () => {
    for (const stub of stubs.reverse()) if (isStillThere(rootfs, stub.path)) removeStub(stub);
  };
}

function addStub(stub: Stub, stubs: Stub[]): void {
  if (lstatSync(stub.path, { throwIfNoEntry: false })) return;
  const parent = dirname(stub.path);
  addStub({ path: parent, isDirectory: true }, stubs);
  keepTimes(parent, () => {
    if (stub.isDirectory) mkdirSync(stub.path, { mode: 0o755 });
    else closeSync(openSync(stub.path, 'wx', 0o644));
  });
  stubs.push(stub);
}

/** The process may have put a link in place of a directory; the host's files are then at that path. */
function isStillThere(rootfs: string, path: string): boolean {
  try {
    return isPlainPath(rootfs, path);
  } catch {
    return false;
  }
}

function removeStub({ path, isDirectory }: Stub): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.isDirectory() !== isDirectory) return;
  if (isDirectory ? readdirSync(path).length > 0 : !stat.isFile() || stat.size > 0) return;
  keepTimes(dirname(path), () => (isDirectory ? rmdirSync(path) : unlinkSync(path)));
}

function keepTimes(directory: string, change: () => void): void {
  const before = lstatSync(directory, { bigint: true });
  change();
  setTimesNs(directory, before.atimeNs, before.mtimeNs);
}
