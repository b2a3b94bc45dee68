import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from '../cache/if-there.js';
import { type ListedLease, listLeases } from '../cache/leases.js';
import { removeTreeUntil, temporariesOf } from '../cache/leftovers.js';
import { type ProcessStamp, processStamp, stampOf, uptimeMs } from '../cache/process-stamp.js';
import type { StateRoot } from '../cache/state-root.js';
import { GROUPS_FILE, groupsNamed, killGroups, tryRemove } from './cgroup/group.js';
import { killProcessesOf } from './executor/end-processes.js';
import { abandonNetworks, sweepNetworks } from './network/veth-network.js';
import { releaseAllLocks, removeFreeLocks } from './sys/flock.js';
import { unmount } from './sys/mounts.js';

const TRASH = '.trash-';
/** What is left of the files after that is another process's work. */
const REMOVE_MS = 60;
const KILL_MS = 100;
const RETRY_MS = 2;
/** A killed process ends when it gets a turn; on a busy machine that takes longer than a command should wait for. */
const AGAIN_MS = 50;
const MOST_WAIT_MS = 5000;
const LAST_KILL_MS = 1000;

/**
 * Removes what killed processes left: their builds' processes, control groups, scratch directories, temporary files and networks.
 * Takes 200 ms at most; a directory that is too big for that is out of the way, and `rm` removes it. Where nobody was killed
 * it is two listings of directories. Many processes may do it at once.
 */
export function recoverStore(state: StateRoot): void {
  const dead = deadLeases(state);
  if (dead.length > 0) {
    void sweepNetworks().catch(() => undefined);
    if (!removeTracesOfDead(state, dead, KILL_MS)) recoverLater(state);
  }
  emptyTrash(state.work);
}

/** Beside the command, and at its end. */
function recoverLater(state: StateRoot): void {
  const isDone = (killMs: number) => {
    const dead = deadLeases(state);
    return dead.length === 0 || removeTracesOfDead(state, dead, killMs);
  };
  const atEnd = () => {
    isDone(LAST_KILL_MS);
    emptyTrash(state.work);
  };
  // Each try looks at every process of the machine: what will not end soon is asked for less and less.
  const againIn = (waitMs: number): void => {
    setTimeout(() => {
      if (!isDone(0)) return againIn(Math.min(2 * waitMs, MOST_WAIT_MS));
      process.off('exit', atEnd);
      emptyTrash(state.work);
    }, waitMs).unref();
  };
  againIn(AGAIN_MS);
  process.once('exit', atEnd);
}

function deadLeases(state: StateRoot): ListedLease[] {
  return listLeases(state.leases).filter((lease) => !lease.living);
}

/** False where a process did not end in time. */
function removeTracesOfDead(state: StateRoot, dead: readonly ListedLease[], killMs: number): boolean {
  const ended = [...new Set(dead.map(({ stamp }) => stamp))].filter((stamp) =>
    removeTracesOf(state, stamp, killMs),
  );
  const gone = dead.filter(({ stamp }) => ended.includes(stamp));
  for (const { path } of gone) rmSync(path, { force: true });
  // A child that was killed between its fork and its program had the locks open, too.
  removeFreeLocks(state.locks);
  return gone.length === dead.length;
}

/** The end of this process, at once: as if another one cleaned up after it. */
export function abandonStore(state: StateRoot): void {
  const stamp = processStamp();
  for (const path of workDirectoriesOf(state, stamp)) unmountBelow(path);
  const isGone = removeTracesOf(state, stamp, LAST_KILL_MS);
  abandonNetworks();
  for (const lease of listLeases(state.leases)) {
    if (isGone && lease.stamp === stamp) rmSync(lease.path, { force: true });
  }
  emptyTrash(state.work);
  releaseAllLocks();
}

/** True when nothing of it is left but what lies in the trash. */
function removeTracesOf(state: StateRoot, stamp: ProcessStamp, killMs: number): boolean {
  const directories = workDirectoriesOf(state, stamp);
  const until = uptimeMs() + killMs;
  const ended =
    repeatUntil(until, () => !directories.map(killProcessesOf).includes(true)) &&
    (directories.length === 0 || removeControlGroups(stamp, directories, until));
  if (!ended) return false;
  for (const path of directories) throwAway(path, state.work);
  for (const path of temporariesOf(state, stamp)) throwAway(path, state.work);
  return true;
}

function workDirectoriesOf(state: StateRoot, stamp: ProcessStamp): string[] {
  return namesIn(state.work)
    .filter((name) => stampOf(name) === stamp)
    .map((name) => join(state.work, name));
}

/** The runtime names them after the container, at the top of each hierarchy or in the group that tsbuild ran in. */
function removeControlGroups(stamp: ProcessStamp, directories: readonly string[], untilMs: number): boolean {
  const runs = directories.flatMap((path) => namesIn(path).map((run) => join(path, run)));
  const limited = runs.flatMap((run) => killGroups(join(run, GROUPS_FILE)));
  const groups = [...limited, ...groupsNamed(`tsbuild-${stamp}-`)];
  // The kernel keeps a group busy until the last killed process has been waited for.
  return repeatUntil(untilMs, () => !groups.map(tryRemove).includes(false));
}

function repeatUntil(untilMs: number, isDone: () => boolean): boolean {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    if (isDone()) return true;
    if (uptimeMs() > untilMs) return false;
    Atomics.wait(pause, 0, 0, RETRY_MS);
  }
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
  const trash = namesIn(work).filter((name) => name.startsWith(TRASH));
  if (trash.length === 0) return;
  const until = uptimeMs() + REMOVE_MS;
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
