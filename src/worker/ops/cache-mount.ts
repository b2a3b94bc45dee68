import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { JobContext, LockAcquirer, SnapshotResult } from '../../graph/contract.js';
import type { CacheMount } from '../../graph/op.js';
import { digestHex, digestOfJson } from '../../oci/digest.js';
import { resolveInRoot } from '../executor/root-path.js';
import type { OverlayRoots } from '../snapshot/overlay.js';

export interface CacheMountDependencies {
  readonly overlays: OverlayRoots;
  readonly cacheMounts: string;
  readonly lock: LockAcquirer;
}

/** A cache directory in use; disposing lets others have it. */
export interface OpenCacheMount extends Disposable {
  readonly path: string;
}

/** How many directories of one id `private` goes through before it waits. */
const MOST_PRIVATE = 64;

/**
 * The directory of a cache mount, made where it is missing: named after its id and, where it starts from files, their content.
 * A `locked` one is held against all other processes until it is disposed; a `private` one is the first that nobody holds.
 */
export async function openCacheMount(
  mount: CacheMount,
  inputs: readonly SnapshotResult[],
  deps: CacheMountDependencies,
  job: JobContext,
): Promise<OpenCacheMount> {
  const from = mount.input === undefined ? undefined : inputs[mount.input];
  const name = digestHex(digestOfJson(['cache mount', mount.id, from?.contentId, mount.source])).slice(0, 32);
  if (mount.sharing === 'shared') return { path: await ensure(name), [Symbol.dispose]: () => undefined };
  if (mount.sharing === 'locked') {
    const lock = await deps.lock(`mount-${name}`, {
      signal: job.signal,
      onWait: () => job.note(`waiting for the cache mount "${mount.id}", which another step uses`),
    });
    return { path: await ensure(name), [Symbol.dispose]: () => lock[Symbol.dispose]() };
  }
  for (let i = 0; ; i++) {
    const lock = await tryLock(deps.lock, `mount-${name}-${i}`, i >= MOST_PRIVATE, job.signal);
    if (lock) return { path: await ensure(`${name}-${i}`), [Symbol.dispose]: () => lock[Symbol.dispose]() };
  }

  async function ensure(directory: string): Promise<string> {
    const path = join(deps.cacheMounts, directory);
    if (!existsSync(path)) await create(path);
    // For prune and du; its time is that of the last use.
    writeFileSync(`${path}.json`, JSON.stringify({ id: mount.id }));
    return path;
  }

  /** Made under a temporary name, so that two processes see one whole directory. */
  async function create(path: string): Promise<void> {
    const temporary = `${path}.${process.pid}`;
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    chmodSync(temporary, mount.mode);
    chownSync(temporary, mount.uid, mount.gid);
    if (from) await copyInto(temporary, from);
    try {
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      if (!existsSync(path)) throw error;
    }
  }

  async function copyInto(target: string, { layers }: SnapshotResult): Promise<void> {
    await using root = await deps.overlays.mount(layers, job.signal, (row) => job.transfer(row));
    const source = resolveInRoot(root.path, mount.source ?? '/');
    // A child process sees the mount; it keeps owners, links and attributes.
    if (lstatSync(source, { throwIfNoEntry: false })?.isDirectory())
      execFileSync('cp', ['-a', `${source}/.`, target]);
  }
}

/** The lock when nobody holds it, else undefined; the last try waits. */
async function tryLock(
  lock: LockAcquirer,
  name: string,
  mayWait: boolean,
  signal: AbortSignal,
): Promise<Disposable | undefined> {
  if (mayWait) return lock(name, { signal });
  const busy = new AbortController();
  try {
    return await lock(name, { signal: AbortSignal.any([signal, busy.signal]), onWait: () => busy.abort() });
  } catch (error) {
    if (signal.aborted || !busy.signal.aborted) throw error;
    return undefined;
  }
}
