import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { mountTmpfs, unmount } from '../sys/mounts.js';

/** A directory in memory, for what describes a process: its environment may hold secrets, which must reach no disk. */
export interface PrivateDirectory extends Disposable {
  readonly path: string;
}

/** Mounts it in the run's own directory. The process must be in a mount namespace of its own. */
export function openPrivateDirectory(directory: string): PrivateDirectory {
  const path = join(directory, 'private');
  mkdirSync(path, { mode: 0o700 });
  mountTmpfs(path, 'mode=0700,size=16m');
  return { path, [Symbol.dispose]: () => unmount(path) };
}
