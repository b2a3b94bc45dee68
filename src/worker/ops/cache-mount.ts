import { execFile } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { processStamp } from '../../cache/process-stamp.js';
import type {
  HeldLock,
  JobContext,
  LockAcquirer,
  LockHolder,
  LockOptions,
  SnapshotResult,
} from '../../graph/contract.js';
import type { CacheMount } from '../../graph/op.js';
import { digestHex, digestOfJson } from '../../oci/digest.js';
import { resolveInRoot } from '../executor/root-path.js';
import type { OverlayRoots } from '../snapshot/overlay.js';
import { setOwner } from '../sys/subordinate-ids.js';

export interface CacheMountDependencies {
  readonly overlays: OverlayRoots;
  readonly cacheMounts: string;
  readonly lock: LockAcquirer;
  /** Fills a new directory from elsewhere; says from where. */
  readonly restoreCacheMount?: (name: string, directory: string) => Promise<string | undefined>;
}

/** The part of a job that mounts need. */
export interface MountJob extends Pick<JobContext, 'signal' | 'note' | 'transfer'> {
  readonly vertex: { readonly options: { readonly name: string } };
}

/** The cache directories of one RUN, held until they are disposed. */
export interface CacheMounts extends Disposable {
  /** Absolute. */
  pathOf(mount: CacheMount): string;
}

/** How many directories of one id `private` goes through before it waits. */
const MOST_PRIVATE = 64;

/**
 * The directories of a RUN's cache mounts, made where they are missing: named after their id and, where they start from files,
 * their content. A `shared` one is held together with other steps, here and in other processes, a `locked` one alone; a
 * `private` one is the first that nobody holds. What may have to be waited for comes first and sorted, so that no two steps
 * wait for each other.
 */
export async function openCacheMounts(
  mounts: readonly CacheMount[],
  inputs: readonly SnapshotResult[],
  deps: CacheMountDependencies,
  job: MountJob,
): Promise<CacheMounts> {
  const locks: HeldLock[] = [];
  const release = () => {
    for (const lock of locks.reverse()) lock[Symbol.dispose]();
  };
  const paths = new Map<CacheMount, string>();
  try {
    for (const [name, same] of sortedByName(mounts.filter(isWaitedFor), inputs)) {
      const shared = same.every((mount) => mount.sharing === 'shared');
      locks.push(await deps.lock(lockName(name), { ...lockOptions(same[0]!, job), shared }));
      for (const mount of same) paths.set(mount, await ensureDirectory(name, mount, inputs, deps, job));
    }
    for (const mount of mounts.filter((each) => !isWaitedFor(each))) {
      const { name, lock } = await lockFreeDirectory(directoryName(mount, inputs), mount, deps.lock, job);
      locks.push(lock);
      paths.set(mount, await ensureDirectory(name, mount, inputs, deps, job));
    }
  } catch (error) {
    release();
    throw error;
  }
  return { pathOf: (mount) => paths.get(mount)!, [Symbol.dispose]: release };
}

function isWaitedFor({ sharing }: CacheMount): boolean {
  return sharing !== 'private';
}

function sortedByName(
  mounts: readonly CacheMount[],
  inputs: readonly SnapshotResult[],
): [string, readonly CacheMount[]][] {
  const byName = new Map<string, CacheMount[]>();
  for (const mount of mounts) {
    const name = directoryName(mount, inputs);
    byName.set(name, [...(byName.get(name) ?? []), mount]);
  }
  return [...byName].sort(([a], [b]) => (a < b ? -1 : 1));
}

function sourceOf(mount: CacheMount, inputs: readonly SnapshotResult[]): SnapshotResult | undefined {
  return mount.input === undefined ? undefined : inputs[mount.input];
}

function directoryName(mount: CacheMount, inputs: readonly SnapshotResult[]): string {
  const from = sourceOf(mount, inputs)?.contentId;
  return digestHex(digestOfJson(['cache mount', mount.id, from, mount.source])).slice(0, 32);
}

function lockName(directory: string): string {
  return `mount-${directory}`;
}

function lockOptions(mount: CacheMount, job: MountJob): LockOptions {
  return {
    signal: job.signal,
    purpose: `${job.vertex.options.name} with the cache mount "${mount.id}"`,
    onWait: (holder) => job.note(`waiting for the cache mount "${mount.id}"${usedBy(holder)}`),
  };
}

function usedBy(holder: LockHolder | undefined): string {
  if (holder === undefined) return ', which another step uses';
  return holder.pid === process.pid
    ? `, which ${holder.purpose} uses`
    : `, which process ${holder.pid} uses: ${holder.purpose}`;
}

/** The first directory of that name that nobody holds; when all are held, the last one is waited for. */
async function lockFreeDirectory(
  name: string,
  mount: CacheMount,
  lock: LockAcquirer,
  job: MountJob,
): Promise<{ name: string; lock: HeldLock }> {
  for (let i = 0; i < MOST_PRIVATE; i++) {
    const numbered = i === 0 ? name : `${name}-${i}`;
    const free = await tryLock(lock, lockName(numbered), job.signal);
    if (free) return { name: numbered, lock: free };
  }
  const last = `${name}-${MOST_PRIVATE}`;
  return { name: last, lock: await lock(lockName(last), lockOptions(mount, job)) };
}

/** The lock when nobody holds it, else undefined. */
async function tryLock(lock: LockAcquirer, name: string, signal: AbortSignal): Promise<HeldLock | undefined> {
  const busy = new AbortController();
  const both = AbortSignal.any([signal, busy.signal]);
  try {
    return await lock(name, { signal: both, purpose: 'a private cache mount', onBusy: () => busy.abort() });
  } catch (error) {
    if (signal.aborted || !busy.signal.aborted) throw error;
    return undefined;
  }
}

async function ensureDirectory(
  name: string,
  mount: CacheMount,
  inputs: readonly SnapshotResult[],
  deps: CacheMountDependencies,
  job: MountJob,
): Promise<string> {
  const path = join(deps.cacheMounts, name);
  if (!existsSync(path)) {
    using _lock = deps.restoreCacheMount && (await deps.lock(`mount-new-${name}`, { signal: job.signal }));
    if (!existsSync(path)) await createDirectory(path, mount, sourceOf(mount, inputs), { ...deps, job });
  }
  // For prune and du; its time is that of the last use.
  writeFileSync(`${path}.json`, JSON.stringify({ id: mount.id }));
  return path;
}

/** Made under a temporary name, so that two processes see one whole directory. */
async function createDirectory(
  path: string,
  mount: CacheMount,
  from: SnapshotResult | undefined,
  { overlays, restoreCacheMount, job }: CacheMountDependencies & { readonly job: MountJob },
): Promise<void> {
  const temporary = `${path}.${processStamp()}`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  chmodSync(temporary, mount.mode);
  setOwner(
    temporary,
    mount.uid,
    mount.gid,
    () => `the cache mount "${mount.id}" is to belong to ${mount.uid}:${mount.gid}`,
  );
  try {
    const restoredFrom = await restoreCacheMount?.(basename(path), temporary);
    if (restoredFrom !== undefined) job.note(`cache mount "${mount.id}" restored from ${restoredFrom}`);
    else if (from) await copyInto(temporary, { from, source: mount.source ?? '/', overlays, job });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    // Of two processes that share it, the other one may have been first.
    if (!existsSync(path)) throw error;
  }
}

interface CopyStart {
  readonly from: SnapshotResult;
  readonly source: string;
  readonly overlays: OverlayRoots;
  readonly job: MountJob;
}

/** Through a child process, which sees the mount and keeps owners, links and attributes. */
async function copyInto(target: string, { from, source, overlays, job }: CopyStart): Promise<void> {
  await using root = await overlays.mount(from.layers, job.signal, {
    onProgress: (row) => job.transfer(row),
  });
  const path = resolveInRoot(root.path, source);
  if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  await promisify(execFile)('cp', ['-a', `${path}/.`, target], { signal: job.signal, killSignal: 'SIGKILL' });
}
