import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import type { StateRoot } from '../cache/state-root.js';

/** Something of the store that is not what it should be. */
export interface Damage {
  readonly kind: 'record' | 'layer' | 'blob' | 'image' | 'source' | 'stat index';
  /** An image's name; else the path below the state root. */
  readonly name: string;
  readonly problem: string;
  /** Where it is now; undefined where nothing was left to keep. */
  readonly setAside?: string;
}

/** Moves what is damaged out of use, to `damaged/<kind>/<name>`; what was there from earlier stays. Gives the new path. */
export function setAside(state: StateRoot, kind: Damage['kind'], path: string): string | undefined {
  const directory = join(state.damaged, kind.replace(' ', '-'));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const name = kind === 'record' ? relative(state.records, path).replace('/', '') : basename(path);
  let target = join(directory, name);
  for (let copy = 1; existsSync(target); copy++) target = join(directory, `${name}.${copy}`);
  try {
    renameSync(path, target);
    return target;
  } catch (error) {
    // A build or a prune that runs beside this took it away first.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
