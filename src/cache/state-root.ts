import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { BuildError } from '../errors.js';
import { makeDirectories } from './make-directories.js';
import { processStamp } from './process-stamp.js';

const LAYOUT_VERSION = 1;

/** The directories below the state root (ARCHITECTURE.md, "State on disk"). All paths are absolute. */
export interface StateRoot {
  readonly path: string;
  /** OCI image layout: the image store and all blobs. */
  readonly content: string;
  /** Cache records, `<aa>/<key>`. */
  readonly records: string;
  /** Stat indexes of local contexts. */
  readonly stat: string;
  /** Layers: `<diffID hex>/fs` (overlay upper form) and `<diffID hex>/listing`. */
  readonly snapshots: string;
  /** What identifies the archives that were written, by their places. */
  readonly archives: string;
  /** Cache mounts of RUN. */
  readonly mounts: string;
  /** What is known of URLs, and bare repositories of git sources. */
  readonly sources: string;
  /** What steps were made of, for explanations. */
  readonly steps: string;
  /** Logs of steps. */
  readonly logs: string;
  /** What crun made of the filters of system calls. */
  readonly filters: string;
  /** What the last steps that failed had written, for `tsbuild debug`: `<id>/upper` and `<id>/step.json`. */
  readonly failed: string;
  /** flock files. */
  readonly locks: string;
  /** What `doctor --store` set aside: never used again. */
  readonly damaged: string;
  /** How commands ended that only looked: `cli/repeat/`. */
  readonly repeats: string;
  /** What prune removed and when, a file for each day. */
  readonly pruned: string;
  /** One file for each use of the store by a living process. */
  readonly leases: string;
  /** What prune took away and is about to remove. */
  readonly trash: string;
  /** Scratch space of running processes: `<stamp>-<random>/…`; of a killed one, the next process removes it. */
  readonly work: string;
  /** Nothing was in it when this process opened it. */
  readonly isNew: boolean;
}

/** `--root`, else `$TSBUILD_ROOT`, else the place for the user. `realUid` is the uid outside of a user namespace. */
export function stateRootPath(option: string | undefined, env: NodeJS.ProcessEnv, realUid: number): string {
  if (option) return resolve(option);
  if (env['TSBUILD_ROOT']) return resolve(env['TSBUILD_ROOT']);
  if (realUid === 0) return '/var/lib/tsbuild';
  return join(env['XDG_DATA_HOME'] || join(env['HOME'] || homedir(), '.local/share'), 'tsbuild');
}

/** Opens or makes the state root. @throws STORE_VERSION for a newer layout, STORE_FAILED when it cannot be made */
export function openStateRoot(path: string): StateRoot {
  const versionFile = join(path, 'version');
  const state = {
    path,
    content: join(path, 'content'),
    records: join(path, 'records'),
    stat: join(path, 'stat'),
    snapshots: join(path, 'snapshots'),
    archives: join(path, 'archives'),
    mounts: join(path, 'mounts'),
    sources: join(path, 'sources'),
    steps: join(path, 'steps'),
    logs: join(path, 'logs'),
    filters: join(path, 'filters'),
    failed: join(path, 'failed'),
    locks: join(path, 'locks'),
    damaged: join(path, 'damaged'),
    repeats: join(path, 'repeats'),
    pruned: join(path, 'pruned'),
    leases: join(path, 'leases'),
    trash: join(path, 'trash'),
    work: join(path, 'work'),
    isNew: false,
  };
  const version = readVersion(versionFile);
  if (version === LAYOUT_VERSION) return state;
  if (version !== undefined && version > LAYOUT_VERSION) {
    throw new BuildError(
      'STORE_VERSION',
      `the store "${path}" has layout version ${version}; this tsbuild knows ${LAYOUT_VERSION}`,
      {
        hint: 'use a newer tsbuild, or another --root',
      },
    );
  }
  const isNew = isEmpty(path);
  try {
    for (const dir of [
      state.content,
      state.records,
      state.stat,
      state.snapshots,
      state.archives,
      state.mounts,
      state.sources,
      state.steps,
      state.logs,
      state.failed,
      state.filters,
      state.repeats,
      state.locks,
      state.leases,
      state.trash,
      state.work,
    ]) {
      makeDirectories(dir, 0o700);
    }
    writeFileSync(`${versionFile}.${processStamp()}`, `${LAYOUT_VERSION}\n`);
    renameSync(`${versionFile}.${processStamp()}`, versionFile);
  } catch (error) {
    throw new BuildError('STORE_FAILED', `the store "${path}" cannot be made: ${(error as Error).message}`, {
      cause: error,
      hint: 'choose a directory you may write with --root or TSBUILD_ROOT',
    });
  }
  return { ...state, isNew };
}

function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0;
  } catch {
    return true;
  }
}

function readVersion(file: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(file, 'utf8'), 10);
  } catch {
    return undefined;
  }
}
