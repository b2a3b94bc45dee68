import { type Digest, digestHex } from '../oci/digest.js';
import type { ItemFilter } from './filter.js';
import type { MeasuredItem } from './item.js';
import type { LayerNode } from './layer-nodes.js';

/** How far to go; without any limit everything goes that may. */
export interface PruneLimits {
  /** This much may always stay. */
  readonly reservedBytes?: number;
  /** At most this much stays, where that is possible. */
  readonly maxUsedBytes?: number;
  /** At least this much of the file system is to be free. */
  readonly minFreeBytes?: number;
}

export interface PlanOptions {
  readonly items: readonly MeasuredItem[];
  readonly layers: ReadonlyMap<Digest, LayerNode>;
  readonly totalBytes: number;
  /** Of the file system. */
  readonly freeBytes: number;
  readonly limits: PruneLimits;
  /** Also what images' layers have beside their blobs: records, directories, compressed copies. */
  readonly all: boolean;
  readonly filter: ItemFilter;
  readonly nowMs: number;
}

export interface Removal {
  readonly item: MeasuredItem;
  /** Why it goes, for people. */
  readonly reason: string;
}

/**
 * What to remove, in order: never what is in use, what an image needs or what the filter leaves out. With limits, what
 * frees most bytes for a second of making it again goes first, the more so the longer nobody used it.
 */
export function planPrune(options: PlanOptions): Removal[] {
  const wantedBytes = bytesToFree(options);
  const isLimited = wantedBytes !== Infinity;
  const plan = new Plan(options);
  const candidates = options.items.filter((item) => plan.mayGo(item, isLimited));
  const order = new Map(candidates.map((item) => [item, isLimited ? plan.worth(item) : -item.lastUsedMs]));
  candidates.sort((a, b) => order.get(b)! - order.get(a)! || (a.id < b.id ? -1 : 1));
  for (const item of candidates) {
    if (plan.freedBytes >= wantedBytes) break;
    plan.remove(item, isLimited ? 'frees most for what it costs to make again' : reasonFor(item));
  }
  return plan.removals;
}

/** Infinity without limits. */
function bytesToFree({ limits, totalBytes, freeBytes }: PlanOptions): number {
  const { reservedBytes, maxUsedBytes, minFreeBytes } = limits;
  if (reservedBytes === undefined && maxUsedBytes === undefined && minFreeBytes === undefined)
    return Infinity;
  const overMost = maxUsedBytes === undefined ? 0 : totalBytes - maxUsedBytes;
  const overFree = minFreeBytes === undefined ? 0 : minFreeBytes - freeBytes;
  const overReserved = totalBytes - (reservedBytes ?? 0);
  const isReservedOnly = maxUsedBytes === undefined && minFreeBytes === undefined;
  return Math.min(overReserved, isReservedOnly ? Infinity : Math.max(overMost, overFree));
}

function reasonFor(item: MeasuredItem): string {
  switch (item.type) {
    case 'image':
      return 'no name refers to it';
    case 'damaged':
      return 'set aside by doctor';
    case 'failed':
      return 'only tsbuild debug needs it';
    case 'directory':
    case 'copy':
      return 'can be made from the layer';
    default:
      return item.images.length > 0 || item.type === 'history' ? 'asked for with --all' : 'no image needs it';
  }
}

const HOUR_MS = 3_600_000;
/** Network and disk of what no step made: cache mounts, repositories. */
const BYTES_REFILLED_PER_MS = 5000;

class Plan {
  readonly removals: Removal[] = [];
  freedBytes = 0;
  readonly #options: PlanOptions;
  readonly #removed = new Set<string>();
  readonly #records: ReadonlyMap<Digest, MeasuredItem>;
  readonly #layers = new Map<Digest, MeasuredItem[]>();
  readonly #lostRecords = new Set<Digest>();

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#records = new Map(options.items.flatMap((item) => (item.key ? [[item.key, item] as const] : [])));
    for (const item of options.items) {
      if (item.diffId === undefined) continue;
      const forms = this.#layers.get(item.diffId);
      if (forms) forms.push(item);
      else this.#layers.set(item.diffId, [item]);
    }
  }

  mayGo(item: MeasuredItem, isLimited: boolean): boolean {
    const { all, filter, nowMs } = this.#options;
    if (item.inUse || (item.type === 'layer' && item.bytes === 0) || !filter(item, nowMs)) return false;
    if (item.images.length === 0 && item.type !== 'history') return true;
    return (all || isLimited) && ['record', 'directory', 'history'].includes(item.type);
  }

  /** Bytes freed for each second of making it and all above it again, times the hours since its last use. */
  worth(item: MeasuredItem): number {
    const { layers, nowMs } = this.#options;
    const node = item.type === 'layer' ? layers.get(item.diffId!) : undefined;
    const above =
      !node || node.fetchable ? [] : [...node.above].flatMap((diffId) => layers.get(diffId) ?? []);
    const forms = [item, ...above.flatMap((lost) => this.#layers.get(lost.diffId) ?? [])];
    const bytes = forms.reduce((sum, form) => sum + form.bytes, 0);
    const isRefilled = item.type === 'mount' || item.type === 'source';
    const ownMs = isRefilled ? item.bytes / BYTES_REFILLED_PER_MS : item.rebuildMs;
    const rebuildMs = above.reduce((sum, lost) => sum + lost.runMs, ownMs);
    const ageMs = Math.max(0, nowMs - item.lastUsedMs);
    return (bytes / (1 + rebuildMs / 1000)) * (0.01 + ageMs / HOUR_MS);
  }

  /** Takes the item and what is of no use without it. */
  remove(item: MeasuredItem, reason: string): void {
    if (!this.#take(item, reason) || item.type !== 'layer') return;
    const node = this.#options.layers.get(item.diffId!)!;
    const because = `needs ${digestHex(node.diffId).slice(0, 12)}, which goes`;
    for (const form of this.#layers.get(node.diffId)!) this.#take(form, because);
    if (node.fetchable) return;
    for (const key of node.records) {
      const record = this.#records.get(key);
      if (record) this.#take(record, because);
    }
    for (const diffId of node.above) {
      const lost = this.#options.layers.get(diffId)!;
      const isNeeded = lost.images.length > 0 || [...lost.records].some((key) => !this.#lostRecords.has(key));
      const [main] = this.#layers.get(diffId) ?? [];
      if (!isNeeded && main && !main.inUse) this.remove(main, because);
    }
  }

  #take(item: MeasuredItem, reason: string): boolean {
    if (this.#removed.has(item.id)) return false;
    this.#removed.add(item.id);
    this.removals.push({ item, reason });
    this.freedBytes += item.bytes;
    if (item.key) this.#lostRecords.add(item.key);
    return true;
  }
}
