import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { listLeases } from '../cache/leases.js';
import { removeTreeUntil, temporariesOf } from '../cache/leftovers.js';
import { type ProcessStamp, processStamp, stampOf } from '../cache/process-stamp.js';
import type { StateRoot } from '../cache/state-root.js';
import { GROUPS_FILE, killGroups } from './cgroup/group.js';
import { killProcessesOf } from './executor/end-processes.js';
import { releaseAllLocks, removeFreeLocks } from './sys/flock.js';
import { unmount } from './sys/mounts.js';

const TRASH = '.trash-';
/** What is left of the files after that is another process's work. */
const REMOVE_MS = 60;
const KILL_MS = 100;
const RETRY_MS = 2;
const CGROUPS = '/sys/fs/cgroup';

/**
 * Removes what killed processes left: their builds' processes, control groups, scratch directories and temporary files. Takes
 * 200 ms at most; a directory that is too big for that is out of the way, and `rm` removes it. Where nobody was killed it is
 * two listings of directories. Many processes may do it at once.
 */
export function recoverStore(state: StateRoot): void {
  const dead = listLeases(state.leases).filter((lease) => !lease.living);
  for (const stamp of new Set(dead.map((lease) => lease.stamp))) {
    // Where a process cannot be ended in time, the next command goes on.
    if (!removeTracesOf(state, stamp)) continue;
    for (const lease of dead) if (lease.stamp === stamp) rmSync(lease.path, { force: true });
  }
  // A child that was killed between its fork and its program had the locks open, too.
  if (dead.length > 0) removeFreeLocks(state.locks);
  emptyTrash(state.work);
}

/** The end of this process, at once: as if another one cleaned up after it. */
export function abandonStore(state: StateRoot): void {
  const stamp = processStamp();
  for (const path of workDirectoriesOf(state, stamp)) unmountBelow(path);
  const isGone = removeTracesOf(state, stamp);
  for (const lease of listLeases(state.leases)) {
    if (isGone && lease.stamp === stamp) rmSync(lease.path, { force: true });
  }
  emptyTrash(state.work);
  releaseAllLocks();
}

/** True when nothing of it is left but what lies in the trash. */
function removeTracesOf(state: StateRoot, stamp: ProcessStamp): boolean {
  const directories = workDirectoriesOf(state, stamp);
  const until = performance.now() + KILL_MS;
  const ended =
    repeatUntil(until, () => !directories.map(killProcessesOf).includes(true)) &&
    (directories.length === 0 || removeControlGroups(stamp, directories, until));
  if (!ended) return false;
  for (const path of directories) throwAway(path, state.work);
  for (const path of temporariesOf(state, stamp)) throwAway(path, state.work);
  return true;
}

function workDirectoriesOf(state: StateRoot, stamp: ProcessStamp): string[] {
  return listDirectory(state.work)
    .filter((name) => stampOf(name) === stamp)
    .map((name) => join(state.work, name));
}

/** The runtime names them after the container, at the top of each hierarchy or in the group that tsbuild ran in. */
function removeControlGroups(stamp: ProcessStamp, directories: readonly string[], untilMs: number): boolean {
  const runs = directories.flatMap((path) => listDirectory(path).map((run) => join(path, run)));
  const limited = runs.flatMap((run) => killGroups(join(run, GROUPS_FILE)));
  const groups = [...limited, ...controlGroupsNamed(`tsbuild-${stamp}`, CGROUPS, 3)];
  // The kernel keeps a group busy until the last killed process has been waited for.
  return repeatUntil(untilMs, () => !groups.map(isRemoved).includes(false));
}

function isRemoved(controlGroup: string): boolean {
  try {
    rmdirSync(controlGroup);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function repeatUntil(untilMs: number, isDone: () => boolean): boolean {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    if (isDone()) return true;
    if (performance.now() > untilMs) return false;
    Atomics.wait(pause, 0, 0, RETRY_MS);
  }
}

function controlGroupsNamed(name: string, directory: string, depth: number): string[] {
  return listDirectory(directory).flatMap((entry) => {
    const path = join(directory, entry);
    const below = depth > 0 && !entry.includes('.') ? controlGroupsNamed(name, path, depth - 1) : [];
    return entry.startsWith(name) ? [...below, path] : below;
  });
}

/** Out of the way at once, however big it is. */
function throwAway(path: string, work: string): void {
  try {
    renameSync(path, join(work, `${TRASH}${randomBytes(8).toString('hex')}`));
  } catch {
    // Another process was faster, or the path is on another file system.
    rmSync(path, { recursive: true, force: true });
  }
}

function emptyTrash(work: string): void {
  const trash = listDirectory(work).filter((name) => name.startsWith(TRASH));
  if (trash.length === 0) return;
  const until = performance.now() + REMOVE_MS;
  const left = trash.map((name) => join(work, name)).filter((path) => !removed(path, until));
  if (left.length === 0) return;
  spawn('rm', ['-rf', '--', ...left], { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}

function removed(path: string, untilMs: number): boolean {
  try {
    return removeTreeUntil(path, untilMs);
  } catch {
    return !existsSync(path);
  }
}

/** Innermost first. */
function unmountBelow(path: string): void {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? []);
  for (const point of points.reverse()) if (point.startsWith(`${path}/`)) unmount(point);
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
