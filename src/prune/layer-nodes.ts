import { readFileSync, statSync } from 'node:fs';
import { checkedBody } from '../cache/checked-file.js';
import { join } from 'node:path';
import type { ContentStore } from '../cache/content-store.js';
import type { StateRoot } from '../cache/state-root.js';
import { type Digest, digestHex, isDigest } from '../oci/digest.js';
import type { StoreItem } from './item.js';
import { modifiedMs, namesIn } from '../cache/if-there.js';
import { recordPath, type StoredRecord } from './store-records.js';

/** A layer with everything that hangs on it. */
export interface LayerNode {
  readonly diffId: Digest;
  /** All blobs that are forms of it, the one that others are made from first. */
  readonly blobs: Set<Digest>;
  /** Records that name it. */
  readonly records: Set<Digest>;
  /** Layers that lie above it in some record: they are no hit any more without it. */
  readonly above: Set<Digest>;
  /** Images that need one of its blobs. */
  images: readonly string[];
  /** Whether it can be fetched again, so that no record is lost with its blob. */
  fetchable: boolean;
  /** The step that made it. */
  name: string;
  runMs: number;
  lastUsedMs: number;
}

export interface LayerNodeOptions {
  readonly state: StateRoot;
  readonly content: ContentStore;
  readonly records: readonly StoredRecord[];
  /** Blobs that images need, with the images' names. */
  readonly held: ReadonlyMap<Digest, readonly string[]>;
}

/** The layers of all records, and those that have a directory or listing of their own. */
export function layerNodes({ state, content, records, held }: LayerNodeOptions): Map<Digest, LayerNode> {
  const nodes = new Map<Digest, LayerNode>();
  const nodeOf = (diffId: Digest): LayerNode => {
    let node = nodes.get(diffId);
    if (!node) nodes.set(diffId, (node = createNode(diffId)));
    return node;
  };
  for (const record of records) addRecord(record, nodeOf);
  for (const name of namesIn(state.snapshots)) if (isDigest(`sha256:${name}`)) nodeOf(`sha256:${name}`);
  for (const node of nodes.values()) {
    for (const blob of rememberedBlobs(join(state.snapshots, digestHex(node.diffId)))) node.blobs.add(blob);
    const times = [...node.blobs].map((blob) => modifiedMs(content.path(blob)));
    const listing = modifiedMs(join(state.snapshots, digestHex(node.diffId), 'listing'));
    node.lastUsedMs = Math.max(node.lastUsedMs, listing, ...times);
    node.images = [...new Set([...node.blobs].flatMap((blob) => held.get(blob) ?? []))];
  }
  return nodes;
}

function createNode(diffId: Digest): LayerNode {
  return {
    diffId,
    blobs: new Set([diffId]),
    records: new Set(),
    above: new Set(),
    images: [],
    fetchable: false,
    name: 'a layer of no step',
    runMs: 0,
    lastUsedMs: 0,
  };
}

function addRecord(record: StoredRecord, nodeOf: (diffId: Digest) => LayerNode): void {
  record.layers.forEach((layer, position) => {
    const node = nodeOf(layer.diffId);
    node.records.add(record.key);
    node.lastUsedMs = Math.max(node.lastUsedMs, record.lastUsedMs);
    if (layer.blob) node.blobs.add(layer.blob.digest);
    if (layer.origin !== undefined) node.fetchable = true;
    for (const above of record.layers.slice(position + 1)) node.above.add(above.diffId);
    if (position < record.layers.length - 1) return;
    node.name = record.name;
    node.runMs = Math.max(node.runMs, record.runMs);
  });
}

/** Compressed forms, and forms with clamped times, are remembered by a small file beside the listing. */
function rememberedBlobs(directory: string): Digest[] {
  return namesIn(directory).flatMap((name) => {
    if (!/^(blob|until)-[^.]+$/.test(name)) return [];
    try {
      const known = JSON.parse(checkedBody(readFileSync(join(directory, name), 'utf8')) ?? '{}') as Record<
        string,
        unknown
      >;
      const digest = String(known['digest'] ?? known['diffId']);
      return isDigest(digest) ? [digest] : [];
    } catch {
      return [];
    }
  });
}

const BYTES_FETCHED_PER_MS = 20_000;
const BYTES_UNPACKED_PER_MS = 200_000;

/** Up to three items a layer: its blob with the listing, its directory, further forms of the blob. */
export function layerItems(
  nodes: ReadonlyMap<Digest, LayerNode>,
  {
    state,
    content,
    held,
    inUseSinceMs,
  }: Pick<LayerNodeOptions, 'state' | 'content' | 'held'> & { inUseSinceMs: number },
): StoreItem[] {
  const owned = new Set<Digest>();
  return [...nodes.values()].flatMap((node) => {
    const id = digestHex(node.diffId).slice(0, 12);
    const directory = join(state.snapshots, digestHex(node.diffId));
    const shared = {
      description: node.name,
      lastUsedMs: node.lastUsedMs,
      inUse: node.lastUsedMs >= inUseSinceMs,
      diffId: node.diffId,
      // Who makes the layer again marks its listing and its blob, whatever records there are.
      markers: [
        join(directory, 'listing'),
        ...[...node.blobs].map((blob) => content.path(blob)),
        ...[...node.records].map((key) => recordPath(state.records, key)),
      ],
    };
    // Two layers may remember one blob; the first has it.
    const present = [...node.blobs].filter((blob) => content.has(blob) && !owned.has(blob));
    for (const blob of present) owned.add(blob);
    const [main, ...copies] = present;
    const size = main === undefined ? 0 : (content.sizeOf(main) ?? 0);
    const items: StoreItem[] = [
      {
        ...shared,
        id,
        type: 'layer',
        paths: [...(main === undefined ? [] : [content.path(main)]), directory],
        rebuildMs: node.fetchable ? size / BYTES_FETCHED_PER_MS : node.runMs,
        images: node.images,
      },
    ];
    if (main !== undefined && statSync(join(directory, 'fs'), { throwIfNoEntry: false }))
      items.push({
        ...shared,
        id: `${id}-directory`,
        type: 'directory',
        description: `${node.name} (unpacked)`,
        paths: [join(directory, 'fs')],
        rebuildMs: size / BYTES_UNPACKED_PER_MS,
        images: [],
      });
    copies.forEach((blob, i) =>
      items.push({
        ...shared,
        id: `${id}-copy${i === 0 ? '' : i}`,
        type: 'copy',
        description: `${node.name} (another form)`,
        paths: [content.path(blob)],
        rebuildMs: size / BYTES_UNPACKED_PER_MS,
        images: held.get(blob) ?? [],
      }),
    );
    return items;
  });
}
