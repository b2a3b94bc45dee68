import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { textIfThere } from '../../cache/if-there.js';
import { PID_FILE } from '../snapshot/work-directory.js';
import { isErrno } from '../sys/libc.js';
import { findProgram } from '../sys/programs.js';

/**
 * Ends what an aborted run left: a runtime may be killed after its fork and before it has noted its child, or the child has
 * asked to die with it. What was started for a run has the run's directory among its arguments, or later among its mounts.
 */
export async function endProcessesOf(directory: string): Promise<void> {
  while (killProcessesOf(directory)) await delay(5);
}

/** A signal may have ended the runtime itself, as where memory is short, with the process that it started still there. */
export const isOfSignal = (exitCode: number) => exitCode > 128;

/**
 * Sends SIGKILL to every process of the directory's runs; false when there is none.
 * @param directory of one run, or of a process's scratch space with its runs
 */
export function killProcessesOf(directory: string): boolean {
  const found = processesOf(directory);
  const refused = found.filter((pid) => !kill(pid));
  if (refused.length > 0) killAsOwners(refused);
  return found.length > 0;
}

function processesOf(directory: string): number[] {
  const ownMounts = readlinkSync('/proc/self/ns/mnt');
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const own = pids.filter((pid) => belongsTo(pid, directory, ownMounts));
  const first = [directory, ...directoriesIn(directory)].flatMap(firstProcessOf);
  const found = own.length > 0 || first.length > 0 ? withDescendants([...own, ...first], pids) : [];
  return found.filter((pid) => pid !== process.pid);
}

/** A process that has ended and is not yet waited for has neither arguments nor mounts any more. */
function belongsTo(pid: number, directory: string, ownMounts: string): boolean {
  try {
    if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${directory}/`)) return true;
    if (readlinkSync(`/proc/${pid}/ns/mnt`) === ownMounts) return false;
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(`${directory}/`);
  } catch {
    return false;
  }
}

/**
 * The first process of a run's pid namespace, whose end is that of all others. The mounts of an ordinary user's steps cannot be
 * seen from the user namespace of the next command. A pid that was given away again is that of a process which is
 * younger than the file.
 */
function firstProcessOf(run: string): number[] {
  const file = join(run, PID_FILE);
  const pid = Number.parseInt(textIfThere(file) ?? '', 10);
  const writtenMs = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  if (!(pid > 1) || writtenMs === undefined) return [];
  const status = textIfThere(`/proc/${pid}/status`) ?? '';
  const isFirst = /^NSpid:\t.*\t1$/m.test(status) && !/^State:\t[ZX]/m.test(status);
  return isFirst && startedMs(pid) <= writtenMs + START_MARGIN_MS ? [pid] : [];
}

/** Boot times are told in whole seconds, start times in hundredths. */
const START_MARGIN_MS = 2000;
const TICKS_PER_SECOND = 100;
const START_FIELD = 19;
const PARENT_FIELD = 1;

function startedMs(pid: number): number {
  const bootSec = Number(/^btime (\d+)$/m.exec(textIfThere('/proc/stat') ?? '')?.[1]);
  return (bootSec + Number(statFields(pid)[START_FIELD]) / TICKS_PER_SECOND) * 1000;
}

/** The fields after the program's name. */
function statFields(pid: number): string[] {
  const stat = textIfThere(`/proc/${pid}/stat`) ?? '';
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** A runtime's child is not told by its arguments. */
function withDescendants(roots: readonly number[], pids: readonly number[]): number[] {
  const children = new Map<number, number[]>();
  for (const pid of pids) {
    const parent = Number(statFields(pid)[PARENT_FIELD]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = new Set<number>();
  const visit = (pid: number) => {
    if (found.has(pid)) return;
    found.add(pid);
    children.get(pid)?.forEach(visit);
  };
  roots.forEach(visit);
  return [...found].filter((pid) => !/^[ZX]/.test(statFields(pid)[0] ?? ''));
}

/** False where it is not ours to kill: a step's USER in the user namespace of a command that has ended. */
function kill(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch (error) {
    // Else it has ended by itself.
    return !isErrno(error, 'EPERM');
  }
}

/** Their owners are users of this namespace as well, and may. */
function killAsOwners(pids: readonly number[]): void {
  const setpriv = findProgram('setpriv');
  if (setpriv === undefined) return;
  const owners = new Map<number, string[]>();
  for (const pid of pids) {
    const uid = statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid;
    if (uid !== undefined) owners.set(uid, [...(owners.get(uid) ?? []), String(pid)]);
  }
  for (const [uid, own] of owners) {
    const kill = ['/bin/sh', '-c', 'kill -KILL "$@"', 'sh', ...own];
    spawnSync(setpriv, ['--reuid', String(uid), '--clear-groups', '--', ...kill], { stdio: 'ignore' });
  }
}

function directoriesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && /^\d+$/.test(entry.name))
      .map((entry) => join(directory, entry.name));
  } catch {
    return [];
  }
}
