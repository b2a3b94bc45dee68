import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from '../cache/if-there.js';
import type { MeasuredItem, StoreItem } from './item.js';

export interface Measurement {
  readonly items: readonly MeasuredItem[];
  /** Everything below the state root, as `du -s` counts. */
  readonly totalBytes: number;
  /** What belongs to no item: lists, locks, directories, work in progress. */
  readonly otherBytes: number;
}

const BLOCK_BYTES = 512;

/** Walks the state root once and gives each file's blocks to the item whose path it is or lies below. One lstat a file. */
export function measure(root: string, items: readonly StoreItem[]): Measurement {
  const owners = new Map(items.flatMap((item) => item.paths.map((path) => [path, item] as const)));
  const bytes = new Map<StoreItem | undefined, number>();
  const linked = new Set<string>();
  const visit = (path: string, owner: StoreItem | undefined) => {
    const own = owners.get(path) ?? owner;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return;
    const isSeen = stat.nlink > 1 && !stat.isDirectory() && linked.has(`${stat.dev} ${stat.ino}`);
    if (!isSeen) bytes.set(own, (bytes.get(own) ?? 0) + stat.blocks * BLOCK_BYTES);
    if (stat.nlink > 1) linked.add(`${stat.dev} ${stat.ino}`);
    if (stat.isDirectory()) for (const name of namesIn(path)) visit(join(path, name), own);
  };
  visit(root, undefined);
  return {
    items: items.map((item) => ({ ...item, bytes: bytes.get(item) ?? 0 })),
    totalBytes: [...bytes.values()].reduce((sum, value) => sum + value, 0),
    otherBytes: bytes.get(undefined) ?? 0,
  };
}
