import { closeSync, fstatSync, mkdirSync, openSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted } from '../../errors.js';
import type { LockAcquirer } from '../../graph/contract.js';
import { callLibc, isErrno } from './libc.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 100;

/**
 * Locks as flocks on `<dir>/<name>`. A lock excludes other processes and other holders in this process. The file is removed
 * by its last holder; whoever locked a file that is no longer at its path tries again.
 */
export function createLockAcquirer(dir: string): LockAcquirer {
  return async (name, { shared = false, signal, onWait } = {}) => {
    const path = join(dir, name.replace(/[^A-Za-z0-9._-]/g, '_'));
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    let waitMs = 0;
    for (;;) {
      throwIfAborted(signal);
      const fd = tryLock(path, shared ? LOCK_SH : LOCK_EX);
      if (fd !== undefined) return { [Symbol.dispose]: releaseOnce(path, fd) };
      if (waitMs === 0) onWait?.();
      waitMs = Math.min(Math.max(waitMs * 1.5, FIRST_WAIT_MS), LONGEST_WAIT_MS);
      await wait(waitMs, signal);
    }
  };
}

async function wait(timeMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(timeMs, undefined, signal ? { signal } : {});
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
}

/**
 * Locks a directory for as long as this process lives or until the descriptor is closed.
 * @returns the descriptor, or undefined while another holds the lock or when there is no such directory
 */
export function lockDirectory(path: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return undefined;
  }
  const inode = fstatSync(fd).ino;
  if (flock(fd, LOCK_EX) && statSync(path, { throwIfNoEntry: false })?.ino === inode) return fd;
  closeSync(fd);
  return undefined;
}

/** The locked file's descriptor, or undefined while another holds it. */
function tryLock(path: string, mode: number): number | undefined {
  for (;;) {
    const fd = openSync(path, 'a', 0o600);
    if (!flock(fd, mode)) {
      closeSync(fd);
      return undefined;
    }
    if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd;
    closeSync(fd);
  }
}

function flock(fd: number, mode: number): boolean {
  try {
    callLibc('int flock(int fd, int operation)', [fd, mode | LOCK_NB]);
    return true;
  } catch (error) {
    if (isErrno(error, 'EWOULDBLOCK', 'EAGAIN')) return false;
    throw error;
  }
}

function releaseOnce(path: string, fd: number): () => void {
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    try {
      if (flock(fd, LOCK_EX)) unlinkSync(path);
    } catch {
      // A file that cannot be removed is still a free lock.
    }
    closeSync(fd);
  };
}
