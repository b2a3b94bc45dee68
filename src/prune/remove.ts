import { renameSync, rmSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { rememberPruned } from '../cache/pruned.js';
import type { StateRoot } from '../cache/state-root.js';
import { processStamp } from '../cache/process-stamp.js';
import { tryLock } from '../cache/try-lock.js';
import { throwIfAborted } from '../errors.js';
import type { LockAcquirer } from '../graph/contract.js';
import type { Digest } from '../oci/digest.js';
import type { StoreItem } from './item.js';
import type { Removal } from './plan.js';
import { namesIn } from '../cache/if-there.js';

export interface RemoveOptions {
  readonly state: StateRoot;
  readonly lock: LockAcquirer;
  readonly signal: AbortSignal;
}

/**
 * Removes what was planned and gives what was removed. Records go first, so that nobody finds a layer that is about to go;
 * each file is renamed away and looked at again: one that somebody marked as used since it was listed comes back, with all
 * that it names (docs/adr/0005-leases-and-locks.md). The caller holds the lock `prune`.
 */
export async function removeAll(
  removals: readonly Removal[],
  { state, lock, signal }: RemoveOptions,
): Promise<Removal[]> {
  for (const name of namesIn(state.trash))
    await rm(join(state.trash, name), { recursive: true, force: true });
  const spared = new Set<Digest>();
  const removed: Removal[] = [];
  const isRecord = ({ item }: Removal) => item.type === 'record';
  for (const removal of [...removals.filter(isRecord), ...removals.filter((other) => !isRecord(other))]) {
    throwIfAborted(signal);
    const { item } = removal;
    if (item.diffId !== undefined && spared.has(item.diffId)) continue;
    if (await removeItem(item, { state, lock, signal })) removed.push(removal);
    else for (const diffId of item.layers ?? []) spared.add(diffId);
  }
  return removed;
}

/** False when it is in use again. */
async function removeItem(item: StoreItem, { state, lock, signal }: RemoveOptions): Promise<boolean> {
  const held = item.lock === undefined ? undefined : await tryLock(lock, item.lock, signal);
  if (item.lock !== undefined && held === undefined) return false;
  try {
    if (item.key !== undefined) remember(state, item.key);
    for (const path of item.paths) if (!(await removePath(path, item, state))) return false;
    return true;
  } finally {
    held?.[Symbol.dispose]();
  }
}

function remember(state: StateRoot, key: Digest): void {
  try {
    rememberPruned(state.pruned, [key], Date.now());
  } catch {
    // A disk so full that not even this fits: the miss has no explanation.
  }
}

async function removePath(path: string, item: StoreItem, state: StateRoot): Promise<boolean> {
  if (isMarked(path, path, item)) return false;
  const away = join(state.trash, `${processStamp()}-${randomBytes(6).toString('hex')}`);
  try {
    renameSync(path, away);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    rmSync(path, { recursive: true, force: true });
    return true;
  }
  if (isMarked(away, path, item)) {
    putBack(away, path);
    return false;
  }
  await rm(away, { recursive: true, force: true });
  return true;
}

/** Whether somebody used it since it was listed. Of a directory the time says nothing: it changes with its entries. */
function isMarked(away: string, path: string, { lastUsedMs, markers = [] }: StoreItem): boolean {
  const now = (marker: string) => (marker.startsWith(`${path}/`) ? away + marker.slice(path.length) : marker);
  const stats = [away, ...markers.map(now)].map((file) => statSync(file, { throwIfNoEntry: false }));
  return stats.some((stat) => stat?.isFile() && stat.mtimeMs > lastUsedMs);
}

function putBack(away: string, path: string): void {
  try {
    renameSync(away, path);
  } catch {
    // Whoever missed it made it again; this one goes with the next prune.
  }
}
