import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted } from '../../errors.js';
import type { HeldLock, LockAcquirer, LockHolder, LockOptions } from '../../graph/contract.js';
import { callLibc, isErrno } from './libc.js';
import { LogFollower, readHolder, writeHolder } from './lock-holder.js';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 100;
const LOOKS_BEFORE_UNKNOWN = 2;

/**
 * Locks as flocks on `<dir>/<name>`; the file says who holds it. It is removed by its last holder; whoever locked a file that
 * is no longer at its path tries again.
 */
export function createLockAcquirer(dir: string): LockAcquirer {
  return async (name, options = {}) => {
    const { shared = false, signal, purpose } = options;
    const path = join(dir, name.replace(/[^A-Za-z0-9._-]/g, '_'));
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    using watch = new HolderWatch(path, options);
    for (let waitMs = 0; ;) {
      throwIfAborted(signal);
      const fd = tryLock(path, shared ? LOCK_SH : LOCK_EX);
      if (fd !== undefined) {
        watch.followToEnd();
        return createHeldLock(path, fd, purpose, waitMs > 0);
      }
      if (waitMs === 0) options.onBusy?.();
      watch.look();
      waitMs = Math.min(Math.max(waitMs * 1.5, FIRST_WAIT_MS), LONGEST_WAIT_MS);
      await wait(waitMs, signal);
    }
  };
}

function createHeldLock(path: string, fd: number, purpose: string | undefined, waited: boolean): HeldLock {
  const holder = { pid: process.pid, sinceMs: Date.now(), purpose: purpose ?? '' };
  if (purpose !== undefined) writeHolder(fd, holder);
  return {
    waited,
    tellLog: (logPath) => writeHolder(fd, { ...holder, logPath }),
    [Symbol.dispose]: releaseOnce(path, fd),
  };
}

/** Tells of the holders that a lock is waited for, and hands on what they log. */
class HolderWatch implements Disposable {
  readonly #path: string;
  readonly #options: LockOptions;
  #looks = 0;
  #seen: LockHolder | undefined;
  #log: LogFollower | undefined;

  constructor(path: string, options: LockOptions) {
    this.#path = path;
    this.#options = options;
  }

  look(): void {
    const { onWait, onOutput } = this.#options;
    if (!onWait && !onOutput) return;
    const holder = readHolder(this.#path);
    const isNew = holder !== undefined && !isSame(holder, this.#seen);
    // One that got the lock a moment ago may not have told who it is.
    if (isNew || this.#looks === LOOKS_BEFORE_UNKNOWN) onWait?.(holder);
    this.#looks = isNew ? LOOKS_BEFORE_UNKNOWN + 1 : this.#looks + 1;
    if (isNew) this.#seen = holder;
    if (holder?.logPath !== undefined && (isNew || holder.logPath !== this.#log?.path)) {
      this.followToEnd();
      this.#log = new LogFollower(holder.logPath);
    }
    this.#follow();
  }

  /** The rest of the log, once its writer has ended. */
  followToEnd(): void {
    this.#follow();
    this.#log?.[Symbol.dispose]();
    this.#log = undefined;
  }

  [Symbol.dispose](): void {
    this.#log?.[Symbol.dispose]();
  }

  #follow(): void {
    const { onOutput } = this.#options;
    if (onOutput && this.#log) for (const data of this.#log.read()) onOutput(data);
  }
}

function isSame(a: LockHolder, b: LockHolder | undefined): boolean {
  return a.pid === b?.pid && a.sinceMs === b.sinceMs;
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

const held = new Set<() => void>();

/** Gives up all locks of this process, which must end now. */
export function releaseAllLocks(): void {
  for (const release of held) release();
}

/** Removes the files of locks that nobody holds: killed processes leave them. */
export function removeFreeLocks(dir: string): void {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const fd = tryLock(path, LOCK_EX);
    if (fd !== undefined) releaseOnce(path, fd)();
  }
}

/** The locked file's descriptor, or undefined while another holds it. */
function tryLock(path: string, mode: number): number | undefined {
  for (;;) {
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o600);
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
  const release = () => {
    if (!held.delete(release)) return;
    try {
      if (flock(fd, LOCK_EX)) unlinkSync(path);
    } catch {
      // A file that cannot be removed is still a free lock.
    }
    closeSync(fd);
  };
  held.add(release);
  return release;
}
