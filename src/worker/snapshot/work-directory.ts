import { closeSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GROUPS_FILE, sweepGroups } from '../cgroup/group.js';
import { lockDirectory } from '../sys/flock.js';

/** File in a run's directory with the pid of the process that everything of the run descends from. */
export const PID_FILE = 'pid';

/**
 * This process's scratch space below `work/`: `<pid>-<random>/<number>/` for each run. The process holds a lock on it, so
 * that others know that it lives.
 */
export class WorkDirectory {
  readonly path: string;
  readonly #lock: number;
  #next = 0;

  constructor(work: string) {
    mkdirSync(work, { recursive: true, mode: 0o700 });
    for (;;) {
      this.path = mkdtempSync(join(work, `${process.pid}-`));
      const lock = lockDirectory(this.path);
      // A sweep may take the directory before it is locked.
      if (lock === undefined) continue;
      this.#lock = lock;
      return;
    }
  }

  /** A new empty directory. */
  create(): string {
    const path = join(this.path, String(this.#next++));
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  /** Removes everything; nothing below may be mounted any more. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    closeSync(this.#lock);
  }
}

/** Removes the directories of processes that are no more, and kills what they left running. */
export async function sweepWork(work: string): Promise<void> {
  for (const name of listDirectory(work)) {
    const path = join(work, name);
    const lock = lockDirectory(path);
    if (lock === undefined) continue;
    try {
      for (const run of listDirectory(path)) {
        killLeftProcess(join(path, run));
        await sweepGroups(join(path, run, GROUPS_FILE));
      }
      await rm(path, { recursive: true, force: true });
    } finally {
      closeSync(lock);
    }
  }
}

/** A run outlives a tsbuild that was killed; its mounts or its arguments tell it from a later process with the same pid. */
function killLeftProcess(run: string): void {
  try {
    const pid = Number.parseInt(readFileSync(join(run, PID_FILE), 'utf8'), 10);
    const isOfRun = ['mountinfo', 'cmdline'].some((file) =>
      readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(run),
    );
    if (isOfRun) process.kill(pid, 'SIGKILL');
  } catch {
    // No such file or process: nothing is left of it.
  }
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
