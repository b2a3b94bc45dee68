import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { textIfThere } from '../../cache/if-there.js';
import { BuildError } from '../../errors.js';
import { isErrno } from '../sys/libc.js';
import { type ControllerRoot, findController } from './hierarchy.js';
import { type Controller, limitFiles, type ResourceLimits } from './limits.js';

/** What is known of a group's memory once its processes have ended. */
export interface MemoryUse {
  readonly peakBytes: number;
  /** Processes that the kernel killed for want of memory. */
  readonly oomKills: number;
}

/** File of a run's directory with the directories of its group, one a line, for the sweep. */
export const GROUPS_FILE = 'groups';

const CGROUPS = '/sys/fs/cgroup';
const DEPTH = 3;
const REMOVE_TRIES = 50;
const RETRY_MS = 10;

/**
 * A control group with limits: one directory in the hierarchy of each controller that they need, and memory's in any case, for its
 * account. On the machine they are found by their name, `tsbuild-<pid>-…`.
 */
export class ControlGroup {
  readonly #directories: ReadonlyMap<Controller, { root: ControllerRoot; path: string }>;

  private constructor(directories: ReadonlyMap<Controller, { root: ControllerRoot; path: string }>) {
    this.#directories = directories;
  }

  /**
   * Makes the group.
   * @param options.parent the group to make it in; its limits hold for this one as well
   * @param options.below what groups in this one will limit
   * @throws NOT_PERMITTED where this process may not, UNSUPPORTED where the kernel has no such controller
   */
  static create(
    name: string,
    limits: ResourceLimits,
    { parent, below = {} }: { parent?: ControlGroup; below?: ResourceLimits } = {},
  ): ControlGroup {
    const above = parent ? parent.#directories : undefined;
    const controllers = above ? [...above.keys()] : controllersFor(limits, below);
    const directories = new Map<Controller, { root: ControllerRoot; path: string }>();
    const group = new ControlGroup(directories);
    try {
      for (const controller of controllers) {
        const { root, path } = above?.get(controller) ?? ownGroup(controller);
        directories.set(controller, { root, path: makeDirectory(controller, root, path, name) });
      }
      group.#writeLimits(limits);
    } catch (error) {
      for (const { path } of directories.values()) tryRemove(path);
      throw explained(error);
    }
    return group;
  }

  /** Files that take the pid of a process that is to be in the group. */
  get processFiles(): string[] {
    return this.directories.map((path) => join(path, 'cgroup.procs'));
  }

  get directories(): string[] {
    return [...new Set([...this.#directories.values()].map(({ path }) => path))];
  }

  memoryUse(): MemoryUse {
    const { root, path } = this.#directories.get('memory')!;
    const [peak, events] =
      root.version === 1
        ? ['memory.max_usage_in_bytes', 'memory.oom_control']
        : ['memory.peak', 'memory.events'];
    const kills = /^oom_kill (\d+)$/m.exec(textIfThere(join(path, events)) ?? '')?.[1];
    return { peakBytes: Number(textIfThere(join(path, peak)) ?? ''), oomKills: Number(kills ?? 0) };
  }

  /** Takes the group away once its last process is gone, which the kernel may notice late. */
  async remove(): Promise<void> {
    for (const path of this.directories) await removeGroup(path);
  }

  #writeLimits(limits: ResourceLimits): void {
    for (const [controller, { root, path }] of this.#directories) {
      for (const entry of limitFiles(limits, root.version)) {
        if (entry.controller !== controller) continue;
        try {
          writeFileSync(join(path, entry.file), entry.value);
        } catch (error) {
          if (entry.optional) continue;
          throw new BuildError(
            'USAGE',
            `the kernel does not take ${entry.value} for ${entry.file}: ${(error as Error).message}`,
            {
              cause: error,
              hint: 'ask for less, or for CPUs and devices that the machine has',
            },
          );
        }
      }
    }
  }
}

/**
 * Kills what a dead process left in its group.
 * @param file its {@link GROUPS_FILE}
 * @returns the directories to remove, innermost first
 */
export function killGroups(file: string): string[] {
  const groups = (textIfThere(file) ?? '').split('\n').filter(Boolean);
  const directories = groups.flatMap((group) => [
    ...listDirectories(group).map((name) => join(group, name)),
    group,
  ]);
  for (const path of directories)
    for (const pid of (textIfThere(join(path, 'cgroup.procs')) ?? '').split('\n').filter(Boolean))
      killProcess(Number(pid));
  return directories;
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function listDirectories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    return [];
  }
}

/** Innermost first: the groups whose names start so, in all hierarchies, at their tops and near the groups of processes. */
export function groupsNamed(name: string, directory = CGROUPS, depth = DEPTH): string[] {
  return listDirectories(directory).flatMap((entry) => {
    const path = join(directory, entry);
    const below = depth > 0 ? groupsNamed(name, path, depth - 1) : [];
    return entry.startsWith(name) ? [...below, path] : below;
  });
}

/** Waits for a group's processes to be gone, then removes its directory. */
export async function removeGroup(path: string): Promise<void> {
  for (let i = 0; i < REMOVE_TRIES && !tryRemove(path); i++) await delay(RETRY_MS);
}

/** True when the directory is gone. */
export function tryRemove(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return isErrno(error, 'ENOENT');
  }
}

function controllersFor(...limits: ResourceLimits[]): Controller[] {
  const files = limits.flatMap((each) => limitFiles(each, 2));
  return [...new Set<Controller>(['memory', ...files.map((file) => file.controller)])];
}

/** The group that this process is in. */
function ownGroup(controller: Controller): { root: ControllerRoot; path: string } {
  const root = findController(controller);
  if (root) return { root, path: root.own };
  throw new BuildError(
    'UNSUPPORTED',
    `the kernel has no control group controller "${controller}" for this process`,
    {
      hint: 'leave the limit out; tsbuild doctor tells what the machine has',
    },
  );
}

function makeDirectory(controller: Controller, root: ControllerRoot, above: string, name: string): string {
  if (root.version === 2) enableBelow(controller, above);
  const path = join(above, name);
  mkdirSync(path, { recursive: true });
  if (root.version === 1 && controller === 'cpuset') inheritCpuset(above, path);
  return path;
}

/** A new group of version 1 has neither CPUs nor memory nodes, and takes no process until it has both. */
function inheritCpuset(above: string, path: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const value =
      (textIfThere(join(above, file)) ?? '').trim() ||
      (textIfThere(join(above, file.replace('.', '.effective_'))) ?? '').trim();
    writeFileSync(join(path, file), value);
  }
}

/**
 * Version 2 gives controllers to groups below only where no process is in the group itself; then this process moves into
 * a group of its own beside them.
 */
function enableBelow(controller: Controller, above: string): void {
  const control = join(above, 'cgroup.subtree_control');
  if ((textIfThere(control) ?? '').trim().split(' ').includes(controller)) return;
  try {
    writeFileSync(control, `+${controller}`);
  } catch (error) {
    if (!isErrno(error, 'EBUSY')) throw error;
    const own = join(above, `tsbuild-${process.pid}`);
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, 'cgroup.procs'), String(process.pid));
    writeFileSync(control, `+${controller}`);
  }
}

function explained(error: unknown): unknown {
  if (error instanceof BuildError) return error;
  const path = (error as NodeJS.ErrnoException).path ?? '';
  return new BuildError(
    'NOT_PERMITTED',
    `limits cannot be set: no control group can be made in "${basename(path).startsWith('tsbuild-') ? dirname(path) : path}"`,
    {
      cause: error,
      hint: 'run tsbuild as root, or, with control groups of version 2, through systemd-run --user --scope -p Delegate=yes',
    },
  );
}
