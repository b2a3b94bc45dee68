import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTreeUntil } from '../../cache/leftovers.js';
import { processStamp, uptimeMs } from '../../cache/process-stamp.js';
import { mountTmpfs, unmount } from '../sys/mounts.js';
import { spreadSubdirectories } from '../sys/syscalls.js';

/** File in a run's directory with the pid of the process that everything of the run descends from. */
export const PID_FILE = 'pid';

/** This process's scratch space below `work/`: `<stamp>-<random>/<number>/` for each run. */
export class WorkDirectory {
  readonly path: string;
  #next = 0;
  #memory: string | undefined;

  constructor(work: string) {
    mkdirSync(work, { recursive: true, mode: 0o700 });
    spreadSubdirectories(work);
    this.path = mkdtempSync(join(work, `${processStamp()}-`));
  }

  /** A new empty directory. */
  create(): string {
    const path = join(this.path, String(this.#next++));
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  /** A new empty directory for all runs, of mode 0755, in the one of that name. */
  createShared(name: string): string {
    const parent = join(this.path, name);
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    const path = join(parent, String(this.#next++));
    mkdirSync(path);
    chmodSync(path, 0o755);
    return path;
  }

  /**
   * {@link create} in memory, where a file is made in a tenth of the time. The process must be in a mount namespace of its own; only
   * synchronous file calls and child processes see it.
   */
  createInMemory(): string {
    const path = join((this.#memory ??= this.#mountMemory()), String(this.#next++));
    mkdirSync(path, { mode: 0o700 });
    return path;
  }

  #mountMemory(): string {
    const path = join(this.path, 'memory');
    mkdirSync(path, { recursive: true, mode: 0o700 });
    mountTmpfs(path, 'mode=0700,size=64m');
    return path;
  }

  /** Removes everything; nothing else below may be mounted any more. */
  async remove(): Promise<void> {
    if (this.#memory !== undefined) unmount(this.#memory);
    await removeDirectory(this.path);
  }
}

const REMOVE_AT_ONCE_MS = 5;

/** What is usually left are a few empty directories, for each of which Node's own way takes several turns of the event loop. */
export async function removeDirectory(path: string): Promise<void> {
  try {
    if (removeTreeUntil(path, uptimeMs() + REMOVE_AT_ONCE_MS)) return;
  } catch {
    // The other way tries again, and says what is wrong.
  }
  await rm(path, { recursive: true, force: true });
}
