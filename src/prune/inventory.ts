import { readFileSync } from 'node:fs';
import { checkedBody } from '../cache/checked-file.js';
import { join } from 'node:path';
import type { ContentStore } from '../cache/content-store.js';
import { imageBlobs, manifestType } from '../cache/image-blobs.js';
import type { ImageStore } from '../cache/image-store.js';
import type { StateRoot } from '../cache/state-root.js';
import { type Digest, digestHex, isDigest } from '../oci/digest.js';
import type { ItemType, StoreItem } from './item.js';
import { type LayerNode, layerItems, layerNodes } from './layer-nodes.js';
import { modifiedMs, namesIn } from '../cache/if-there.js';
import { listRecords, type StoredRecord } from './store-records.js';

export interface InventoryOptions {
  readonly state: StateRoot;
  readonly content: ContentStore;
  readonly images: ImageStore;
  /** What was used at that time or later may be in use. */
  readonly inUseSinceMs: number;
}

/** Everything in the store that could be pruned, and how it hangs together. */
export interface Inventory {
  readonly items: readonly StoreItem[];
  readonly layers: ReadonlyMap<Digest, LayerNode>;
}

/** Lists the store: one read for each record, manifest and listing of a form; no layer is opened. */
export function takeInventory(options: InventoryOptions): Inventory {
  const { state, content, inUseSinceMs } = options;
  const held = imageHolds(options);
  const records = listRecords(state.records);
  const layers = layerNodes({ state, content, records, held });
  const known = new Set([...held.keys(), ...[...layers.values()].flatMap((node) => [...node.blobs])]);
  const sources = sourceItems(options, known);
  for (const path of sources.flatMap((item) => item.paths)) {
    const hex = path.slice(path.lastIndexOf('/') + 1);
    if (path.startsWith(content.root)) known.add(`sha256:${hex}`);
  }
  return {
    layers,
    items: [
      ...layerItems(layers, { state, content, held, inUseSinceMs }),
      ...records.map((record) => recordItem(record, layers, inUseSinceMs)),
      ...sources,
      ...unnamedBlobs(options, known),
      ...mountItems(options),
      ...fileItems(options, 'log', state.logs, (name) => `log of a step (${name.slice(0, 12)})`),
      ...fileItems(options, 'stat', state.stat, (name) => `stat index of a context (${name.slice(0, 12)})`),
      ...fileItems(options, 'repeat', state.repeats, (name) => `end of a command (${name.slice(0, 12)})`),
      ...fileItems(
        options,
        'history',
        state.steps,
        (name) => `steps of earlier builds (${name.slice(0, 12)})`,
      ),
      ...failedItems(options),
      ...namesIn(state.damaged).flatMap((kind) =>
        fileItems(options, 'damaged', join(state.damaged, kind), (name) => `damaged ${kind} ${name}`),
      ),
    ],
  };
}

/** Blobs by digest with the names of the images that need them; with those that a running process may have resolved. */
function imageHolds({ content, images, inUseSinceMs }: InventoryOptions): Map<Digest, string[]> {
  const held = new Map<Digest, string[]>();
  for (const { name, descriptor } of images.list()) {
    for (const { descriptor: blob } of imageBlobs(content, descriptor)) {
      const names = held.get(blob.digest);
      if (names) names.push(name);
      else held.set(blob.digest, [name]);
    }
  }
  for (const hex of namesIn(join(content.root, 'blobs/sha256'))) {
    const digest: Digest = `sha256:${hex}`;
    if (held.has(digest) || modifiedMs(content.path(digest)) < inUseSinceMs) continue;
    const mediaType = manifestType(content.path(digest));
    if (mediaType === undefined) continue;
    for (const { descriptor } of imageBlobs(content, { mediaType, digest, size: 0 }))
      if (!held.has(descriptor.digest)) held.set(descriptor.digest, ['an image in use']);
  }
  return held;
}

function recordItem(
  record: StoredRecord,
  nodes: ReadonlyMap<Digest, LayerNode>,
  inUseSinceMs: number,
): StoreItem {
  const layers = record.layers.map((layer) => layer.diffId);
  const [top] = layers.slice(-1);
  return {
    id: `record-${digestHex(record.key).slice(0, 12)}`,
    type: 'record',
    description: record.name,
    paths: [record.path],
    lastUsedMs: record.lastUsedMs,
    rebuildMs: record.runMs,
    images: (top && nodes.get(top)?.images) ?? [],
    inUse: record.lastUsedMs >= inUseSinceMs,
    key: record.key,
    layers,
  };
}

/** Repositories, and what is known of URLs with the files that only they hold. */
function sourceItems({ state, content, inUseSinceMs }: InventoryOptions, known: Set<Digest>): StoreItem[] {
  const http = join(state.sources, 'http');
  const files = namesIn(http).map((name): StoreItem => {
    const path = join(http, name);
    const { digest, url } = readMemo<{ digest?: string; url?: string }>(path) ?? {};
    const isOwn = digest !== undefined && isDigest(digest) && !known.has(digest);
    const paths = isOwn ? [path, content.path(digest)] : [path];
    const lastUsedMs = Math.max(...paths.map(modifiedMs));
    return item('source', name, url ?? 'a file from a URL', paths, lastUsedMs, inUseSinceMs);
  });
  const git = join(state.sources, 'git');
  const repositories = namesIn(git).map((name): StoreItem => {
    const path = join(git, name);
    const lastUsedMs = Math.max(modifiedMs(path), modifiedMs(join(path, 'FETCH_HEAD')));
    return {
      ...item('source', name, `git repository (${name.slice(0, 12)})`, [path], lastUsedMs, inUseSinceMs),
      lock: `git-${name.slice(0, 32)}`,
    };
  });
  return [...files, ...repositories];
}

function unnamedBlobs({ content, inUseSinceMs }: InventoryOptions, known: ReadonlySet<Digest>): StoreItem[] {
  return ['sha256', 'sha512'].flatMap((algorithm) =>
    namesIn(join(content.root, 'blobs', algorithm)).flatMap((hex) => {
      const digest = `${algorithm}:${hex}`;
      if (!isDigest(digest) || known.has(digest)) return [];
      const path = content.path(digest);
      const description =
        manifestType(path) === undefined ? 'a blob that no image needs' : 'a manifest without a name';
      return [item('image', hex, description, [path], modifiedMs(path), inUseSinceMs)];
    }),
  );
}

/** A cache mount's file of the same name beside it says which id it is for and when it was last used. */
function mountItems({ state, inUseSinceMs }: InventoryOptions): StoreItem[] {
  return namesIn(state.mounts).flatMap((name) => {
    if (!/^[0-9a-f]{32}(-\d+)?$/.test(name)) return [];
    const path = join(state.mounts, name);
    const about = `${path}.json`;
    const { id } = readJson<{ id?: string }>(about) ?? {};
    const lastUsedMs = Math.max(modifiedMs(path), modifiedMs(about));
    return [
      {
        ...item('mount', name, `cache mount ${id ?? name}`, [path, about], lastUsedMs, inUseSinceMs),
        lock: `mount-${name}`,
        markers: [about],
      },
    ];
  });
}

/** Temporary ones have other names; whoever cleans up after their process takes them. */
function failedItems({ state, inUseSinceMs }: InventoryOptions): StoreItem[] {
  return namesIn(state.failed)
    .filter((id) => /^[0-9a-f]{8}$/.test(id))
    .map((id) => {
      const path = join(state.failed, id);
      const about = join(path, 'step.json');
      const { name = id } = readJson<{ name?: string }>(about) ?? {};
      const lastUsedMs = modifiedMs(about);
      return { ...item('failed', id, name, [path], lastUsedMs, inUseSinceMs), markers: [about] };
    });
}

function fileItems(
  { inUseSinceMs }: InventoryOptions,
  type: ItemType,
  directory: string,
  describe: (name: string) => string,
): StoreItem[] {
  return namesIn(directory)
    .filter((name) => !/\.\d+(\.[0-9a-f]+)?$/.test(name) || type === 'damaged')
    .map((name) => {
      const path = join(directory, name);
      return item(type, name, describe(name), [path], modifiedMs(path), inUseSinceMs);
    });
}

function item(
  type: ItemType,
  name: string,
  description: string,
  paths: readonly string[],
  lastUsedMs: number,
  inUseSinceMs: number,
): StoreItem {
  const inUse = lastUsedMs >= inUseSinceMs;
  const id = `${type}-${name.slice(0, 12)}`;
  return { id, type, description, paths, lastUsedMs, rebuildMs: 0, images: [], inUse };
}

/** A file with its own checksum; it is only looked at, so a damaged one is not removed. */
function readMemo<T>(path: string): T | undefined {
  try {
    const body = checkedBody(readFileSync(path, 'utf8'));
    return body === undefined ? undefined : (JSON.parse(body) as T);
  } catch {
    return undefined;
  }
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
