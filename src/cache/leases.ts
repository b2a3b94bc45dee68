import { mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLiving, type ProcessStamp, processStamp, stampOf } from './process-stamp.js';

/** From this age on, the lease of a process in another pid namespace (a container that shares the store) counts as left behind. */
const FOREIGN_LEASE_MS = 24 * 3600 * 1000;

/**
 * A process that uses the store says so with a file `leases/<stamp>-<number>` from before its first look to after its last: see
 * docs/adr/0005-leases-and-locks.md. Nothing that was used since the oldest living lease began may be removed; a lease whose
 * process is gone tells that there is something to clean up.
 */
export interface Lease extends Disposable {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** A lease as others see it. */
export interface ListedLease {
  readonly path: string;
  readonly stamp: ProcessStamp;
  readonly sinceMs: number;
  readonly living: boolean;
}

let taken = 0;
let newestSinceMs = 0;

/** Takes one more lease for this process. A store that cannot be written gives one that nobody sees, and needs none. */
export function takeLease(directory: string): Lease {
  const path = join(directory, `${processStamp()}-${taken++}`);
  try {
    create(path, directory);
  } catch {
    return { sinceMs: Date.now(), [Symbol.dispose]: () => undefined };
  }
  const sinceMs = statSync(path).mtimeMs;
  newestSinceMs = Math.max(newestSinceMs, sinceMs);
  return { sinceMs, [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

/** All leases, those of this process too. */
export function listLeases(directory: string): ListedLease[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const path = join(directory, name);
    const stamp = stampOf(name);
    const sinceMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    if (stamp === undefined || sinceMs === undefined) return [];
    const living = isLiving(stamp) ?? Date.now() - sinceMs < FOREIGN_LEASE_MS;
    return [{ path, stamp, sinceMs, living }];
  });
}

/**
 * What was used at that time or later may be in use: the start of the oldest living lease, infinity where there is none.
 * @param own a lease of the caller, left out
 */
export function inUseSinceMs(directory: string, own?: Lease): number {
  const living = listLeases(directory).filter((lease) => lease.living && lease.sinceMs !== own?.sinceMs);
  return Math.min(...living.map((lease) => lease.sinceMs));
}

/**
 * Marks a file of the store as used now: its mtime. Never earlier than this process's leases, should the clock go back.
 * @returns false when the file is gone, so that it must not be used
 */
export function markUsed(path: string): boolean {
  const timeSec = Math.max(Date.now(), newestSinceMs) / 1000;
  try {
    utimesSync(path, timeSec, timeSec);
    return true;
  } catch (error) {
    // A store on a read-only disk still serves hits; only prune's order suffers.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

function create(path: string, directory: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(directory, { mode: 0o700 });
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  }
}
