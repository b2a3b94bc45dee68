import { inUseSinceMs } from './cache/leases.js';
import { tryLock } from './cache/try-lock.js';
import { loadConfig } from './config.js';
import { formatBytes } from './progress.js';
import type { StoreOptions } from './options.js';
import { parseFilters } from './prune/filter.js';
import { type ImageUsage, imageUsage } from './prune/image-usage.js';
import type { ItemType, MeasuredItem } from './prune/item.js';
import { planPrune, type PruneLimits, type Removal } from './prune/plan.js';
import { removeAll } from './prune/remove.js';
import { isMeasuringDue, writeAccount } from './prune/account.js';
import { spaceOf, type Survey, surveyStore } from './prune/survey.js';
import { openStore, type Store } from './store.js';

/** What the store takes on disk. */
export interface DiskUsage {
  readonly root: string;
  /** As `du -s` counts: whole blocks, a file with several names once. */
  readonly totalBytes: number;
  /** Directories, lists, locks, work in progress. */
  readonly otherBytes: number;
  /** What `prune` and `prune --all` would free now. */
  readonly prunableBytes: number;
  readonly prunableAllBytes: number;
  readonly types: readonly TypeUsage[];
  readonly images: readonly ImageUsage[];
  /** The largest first. */
  readonly items: readonly UsedItem[];
}

export interface TypeUsage {
  readonly type: ItemType;
  readonly count: number;
  readonly bytes: number;
  readonly prunableBytes: number;
}

/** An item of the store, and whether `prune` would take it. */
export type UsedItem = ItemSummary & { readonly prunable: boolean };

/** An item as it is shown. */
export interface ItemSummary extends Pick<MeasuredItem, 'id' | 'type' | 'description' | 'bytes' | 'images'> {
  /** RFC 3339. */
  readonly lastUsed: string;
  readonly rebuildMs: number;
  /** Whether a running process may need it. */
  readonly inUse: boolean;
}

/** Measures the store: `tsbuild du`. */
export async function diskUsage(options: StoreOptions = {}): Promise<DiskUsage> {
  using store = openStore(options);
  const survey = surveyOf(store);
  const plan = (all: boolean) => planOf(survey, { all });
  const prunable = new Set(plan(false).map(({ item }) => item.id));
  const items = survey.items
    .filter((item) => item.bytes > 0)
    .map((item) => ({ ...summaryOf(item), prunable: prunable.has(item.id) }))
    .sort((a, b) => b.bytes - a.bytes || (a.id < b.id ? -1 : 1));
  return await Promise.resolve({
    root: store.state.path,
    totalBytes: survey.totalBytes,
    otherBytes: survey.otherBytes,
    prunableBytes: sumBytes(items.filter((item) => item.prunable)),
    prunableAllBytes: sumBytes(plan(true).map(({ item }) => item)),
    types: typeUsage(items),
    images: imageUsage(store.content, store.images),
    items,
  });
}

export interface PruneOptions extends StoreOptions, PruneLimits {
  /** Also what tagged images' layers have beside their blobs. */
  readonly all?: boolean;
  /** `until=24h`, `type=layer`, `id=…`, `description~=…`. */
  readonly filters?: readonly string[];
  /** Says what would go; removes nothing. */
  readonly dryRun?: boolean;
}

export interface PruneResult {
  readonly removed: readonly (ItemSummary & { readonly reason: string })[];
  readonly bytes: number;
}

/** Removes what nothing needs: never what a tagged image or a running process needs. @throws USAGE for a filter */
export async function pruneStore(options: PruneOptions = {}): Promise<PruneResult> {
  using store = openStore(options);
  const signal = options.signal ?? new AbortController().signal;
  parseFilters(options.filters ?? []);
  using _lock = await store.lock('prune', { signal });
  return await pruneOpened(store, options, signal);
}

/** Prunes under the lock `prune`, which the caller holds. */
export async function pruneOpened(
  store: Store,
  options: PruneOptions,
  signal: AbortSignal,
): Promise<PruneResult> {
  const survey = surveyOf(store);
  const planned = planOf(survey, options);
  const removed = options.dryRun
    ? planned
    : await removeAll(planned, { state: store.state, lock: store.lock, signal });
  const bytes = sumBytes(removed.map(({ item }) => item));
  if (!options.dryRun) writeAccount(store.state, survey.totalBytes - bytes);
  return { removed: removed.map(({ item, reason }) => ({ ...summaryOf(item), reason })), bytes };
}

const LARGEST_DEFAULT_BYTES = 100 * 1024 ** 3;

/**
 * Prunes the store down to its limit after a build that wrote something; below the limit this reads one small file. What the
 * build itself used stays, also where that is more than the limit. Gives undefined where there was nothing to do.
 * @param keepBytes in place of `cache.maxSize`, else a fifth of the disk, at most 100 GB
 */
export async function keepSize(
  store: Store,
  {
    keepBytes,
    configFile,
    signal,
  }: { keepBytes?: number | undefined; configFile?: string | undefined; signal: AbortSignal },
): Promise<PruneResult | undefined> {
  const maxUsedBytes =
    keepBytes ??
    (await loadConfig(configFile)).cache.maxSizeBytes ??
    Math.min(LARGEST_DEFAULT_BYTES, spaceOf(store.state.path).sizeBytes / 5);
  if (!isMeasuringDue(store.state, maxUsedBytes)) return undefined;
  using lock = await tryLock(store.lock, 'prune', signal);
  return lock && (await pruneOpened(store, { maxUsedBytes }, signal));
}

/** The largest images and other things that prune leaves, for people. */
export function largestKept(store: Store, count: number): string[] {
  const images = imageUsage(store.content, store.images).map(({ name, bytes }) => ({
    what: `image ${name}`,
    bytes,
  }));
  const others = surveyOf(store)
    .items.filter((item) => item.images.length === 0)
    .map(({ description, type, bytes }) => ({ what: `${type} ${description}`, bytes }));
  return [...images, ...others]
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, count)
    .map(({ what, bytes }) => `${what} (${formatBytes(bytes)})`);
}

function surveyOf({ state, content, images, lease }: Store): Survey {
  // A lease that did not fit on a full disk is known to its process only.
  return surveyStore({
    state,
    content,
    images,
    inUseSinceMs: Math.min(inUseSinceMs(state.leases), lease.sinceMs),
  });
}

function planOf(
  survey: Survey,
  { all, filters, ...limits }: Omit<PruneOptions, keyof StoreOptions>,
): Removal[] {
  const filter = parseFilters(filters ?? []);
  return planPrune({ ...survey, limits, all: all ?? false, filter, nowMs: Date.now() });
}

function summaryOf(item: MeasuredItem): ItemSummary {
  const { id, type, description, bytes, images, rebuildMs, inUse, lastUsedMs } = item;
  const lastUsed = new Date(lastUsedMs).toISOString();
  return { id, type, description, bytes, images, rebuildMs: Math.round(rebuildMs), inUse, lastUsed };
}

function typeUsage(items: readonly UsedItem[]): TypeUsage[] {
  const types = [...new Set(items.map(({ type }) => type))];
  return types.map((type) => {
    const own = items.filter((item) => item.type === type);
    const prunableBytes = sumBytes(own.filter((item) => item.prunable));
    return { type, count: own.length, bytes: sumBytes(own), prunableBytes };
  });
}

function sumBytes(items: readonly { readonly bytes: number }[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}
