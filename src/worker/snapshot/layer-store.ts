import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readChecked, writeChecked } from '../../cache/checked-file.js';
import type { BlobFollower, ContentStore } from '../../cache/content-store.js';
import { markUsed } from '../../cache/leases.js';
import { processStamp } from '../../cache/process-stamp.js';
import type { StateRoot } from '../../cache/state-root.js';
import { BuildError, throwIfAborted } from '../../errors.js';
import type { Layer, LayerBlobs, LockAcquirer, TransferListener } from '../../graph/contract.js';
import { decompress } from '../../oci/compression.js';
import { type Compression, type Descriptor, layerCompression, layerMediaType } from '../../oci/descriptor.js';
import { type Digest, digestHex } from '../../oci/digest.js';
import { createdTime } from '../../oci/tar/tar-entry.js';
import { showWaiting } from '../sys/lock-holder.js';
import { spreadSubdirectories } from '../sys/syscalls.js';
import type { LayerScan } from '../../secrets/leak-check.js';
import { compressLayer, readParts } from './compress-layer.js';
import { checkedTar, extractLayer, readLayer } from './extract.js';
import { type FileContent, LayerWriter } from './layer-writer.js';
import { type LayerEntry, type LayerIndex, treeDigest } from './layer-index.js';
import { addLayerIndex, loadLayerIndex, saveLayerIndex } from './layer-index-file.js';
import { listChanges } from './pack.js';
import { UnionView } from './union-view.js';
import { Unpacking, WORTH_A_THREAD_BYTES } from './unpacking.js';

export interface LayerStoreOptions {
  readonly state: StateRoot;
  readonly content: ContentStore;
  /** Whether blobs of an origin can be read now; default: yes. */
  readonly hasOrigin?: (origin: string) => boolean;
  readonly lock: LockAcquirer;
  /** Brings `layer.blob` into the content store, verified. */
  readonly fetchBlob: (
    layer: Layer,
    signal: AbortSignal,
    onProgress?: TransferListener,
    follower?: BlobFollower,
  ) => Promise<void>;
  /** Whether blobs that are unpacked may leave the kernel's memory: no image goes anywhere. Default: no. */
  readonly readsBlobsOnce?: boolean | undefined;
  /** Looks at the bytes of each new layer. */
  readonly openScan?: () => LayerScan | undefined;
}

interface Making {
  readonly layer: Layer;
  readonly action: 'listing' | 'unpacking' | 'compressing';
  readonly signal: AbortSignal;
  readonly onProgress: TransferListener | undefined;
}

const never = new AbortController().signal;

/**
 * Layers by diffID in all their forms: tar blob, listing, directory, compressed blob. Each form is made from another when
 * it is first asked for, under a temporary name, once: of several processes one makes it and the others wait.
 */
export class LayerStore implements LayerBlobs {
  readonly #options: LayerStoreOptions;
  readonly #making = new Map<string, Promise<unknown>>();
  readonly #indexes = new Map<Digest, LayerIndex>();
  readonly #trees = new Map<Digest, Digest>();
  readonly #lostOrigins = new Set<string>();
  /** Layers that this process wrote: nothing of them need be checked. */
  readonly #written = new Set<Digest>();
  #compressing: Promise<unknown> = Promise.resolve();
  #temporaries = 0;

  constructor(options: LayerStoreOptions) {
    this.#options = options;
  }

  /** Whether the layer's bytes are in the store or can be fetched. At most two stats. */
  isAvailable(layer: Layer): boolean {
    const { content, hasOrigin = () => true } = this.#options;
    const { diffId, blob, origin } = layer;
    return (
      content.has(diffId) ||
      (origin !== undefined && hasOrigin(origin) && !this.#lostOrigins.has(origin)) ||
      (blob !== undefined && content.has(blob.digest))
    );
  }

  /** Remote caches that had a layer and did not give it; what only they have is not available any more. */
  get lostOrigins(): ReadonlySet<string> {
    return this.#lostOrigins;
  }

  /** The layer's listing. Fetches and reads the layer when there is none yet. */
  index(layer: Layer, signal: AbortSignal = never, onProgress?: TransferListener): Promise<LayerIndex> {
    const known = this.#indexes.get(layer.diffId);
    if (known) return Promise.resolve(known);
    return this.#once(`index ${layer.diffId}`, async () => {
      const path = this.#path(layer.diffId, 'listing');
      const index =
        loadLayerIndex(path) ??
        (await this.#alone({ layer, action: 'listing', signal, onProgress }, async () => {
          return loadLayerIndex(path) ?? (await this.#makeIndex(layer, signal, onProgress));
        }));
      this.#indexes.set(layer.diffId, index);
      return index;
    });
  }

  async indexes(
    layers: readonly Layer[],
    signal: AbortSignal = never,
    onProgress?: TransferListener,
  ): Promise<LayerIndex[]> {
    return Promise.all(layers.map((layer) => this.index(layer, signal, onProgress)));
  }

  /** The layers of images by their trees: `contentDigest` is the digest of the listing, times left out. Remembered on disk. */
  async withTrees(
    layers: readonly Layer[],
    signal: AbortSignal = never,
    onProgress?: TransferListener,
  ): Promise<Layer[]> {
    return Promise.all(
      layers.map(async (layer) => {
        if (layer.contentDigest !== layer.diffId) return layer;
        return { ...layer, contentDigest: await this.#treeDigest(layer, signal, onProgress) };
      }),
    );
  }

  async #treeDigest(
    layer: Layer,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<Digest> {
    const known = this.#trees.get(layer.diffId) ?? readMemo<Digest>(this.#path(layer.diffId, 'tree'));
    if (known) {
      this.#trees.set(layer.diffId, known);
      return known;
    }
    const digest = treeDigest(await this.index(layer, signal, onProgress));
    writeChecked(this.#path(layer.diffId, 'tree'), JSON.stringify(digest));
    this.#trees.set(layer.diffId, digest);
    return digest;
  }

  /** Whether all of the layers have their listing at hand. */
  isListed(layers: readonly Layer[]): boolean {
    return layers.every(
      ({ diffId }) => this.#indexes.has(diffId) || existsSync(this.#path(diffId, 'listing')),
    );
  }

  async #makeIndex(
    layer: Layer,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<LayerIndex> {
    const path = this.#path(layer.diffId, 'listing');
    // Unpacking lists on its way, but not what was unpacked before and lost its listing since.
    if (!this.#options.content.has(layer.diffId)) {
      await this.#materialise(layer, signal, onProgress);
      const made = loadLayerIndex(path);
      if (made) return made;
    }
    const index = await readLayer(this.tar(layer, signal), signal);
    saveLayerIndex(path, index);
    return index;
  }

  /** Before `entryContent` is used: of a layer that came compressed the bytes are in its directory, which prune may have taken. */
  async ensureContents(
    layers: readonly Layer[],
    signal: AbortSignal = never,
    onProgress?: TransferListener,
  ): Promise<void> {
    await Promise.all(
      layers.map(async ({ diffId }, i) => {
        if (!this.#options.content.has(diffId)) await this.directory(layers, i, signal, onProgress);
      }),
    );
  }

  /** Where a file entry's bytes are. Only after `index(layer)` and `ensureContents`. */
  entryContent(layer: Layer, entry: LayerEntry): FileContent {
    const { content } = this.#options;
    if (content.has(layer.diffId))
      return { path: content.path(layer.diffId), offset: entry.offset!, length: entry.size };
    return { path: join(this.#path(layer.diffId, 'fs'), entry.path), length: entry.size };
  }

  /** The layer at `position` as a directory in overlay upper form, for use as a lower directory. */
  async directory(
    layers: readonly Layer[],
    position: number,
    signal: AbortSignal = never,
    onProgress?: TransferListener,
  ): Promise<string> {
    const layer = layers[position]!;
    const path = this.#path(layer.diffId, 'fs');
    if (!existsSync(path))
      await this.#once(`fs ${layer.diffId}`, () =>
        this.#alone({ layer, action: 'unpacking', signal, onProgress }, () =>
          this.#materialise(layer, signal, onProgress),
        ),
      );
    return path;
  }

  async #materialise(
    layer: Layer,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<void> {
    const target = this.#path(layer.diffId, 'fs');
    if (existsSync(target)) return;
    const adopt = (temporary: string) => {
      mkdirSync(dirname(target), { recursive: true });
      renameSync(temporary, target);
    };
    const unpackHere = async (temporary: string) => {
      const index = await extractLayer(this.tar(layer, signal, onProgress), temporary, signal);
      addLayerIndex(this.#path(layer.diffId, 'listing'), index);
      adopt(temporary);
    };
    if (this.#isWorthAThread(layer))
      await this.#inTemporary(target, async (temporary) => {
        if (await this.#unpackAside(layer, temporary, signal, onProgress)) adopt(temporary);
      });
    // Whatever went wrong aside goes wrong here again, and is told.
    if (!existsSync(target)) await this.#inTemporary(target, unpackHere);
  }

  #isWorthAThread({ blob, diffId }: Layer): boolean {
    return blob !== undefined && blob.size >= WORTH_A_THREAD_BYTES && !this.#options.content.has(diffId);
  }

  /** Whether the layer was unpacked by another thread, while it was downloaded where that was needed. */
  async #unpackAside(
    layer: Layer,
    target: string,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<boolean> {
    const { content } = this.#options;
    const blob = layer.blob!;
    const unpacking = Unpacking.open({
      isReadOnce: this.#options.readsBlobsOnce ?? false,
      compression: layerCompression(blob.mediaType),
      diffId: layer.diffId,
      target,
      indexPath: this.#path(layer.diffId, 'listing'),
    });
    if (!unpacking) return false;
    const abandon = () => void unpacking.abandon();
    signal.addEventListener('abort', abandon);
    try {
      await this.#fetched(layer, signal, onProgress, unpacking);
      if (!unpacking.isReading) unpacking.readWhole(content.path(blob.digest), blob.size, blob.digest);
      const isUnpacked = await unpacking.finish();
      throwIfAborted(signal);
      return isUnpacked;
    } finally {
      signal.removeEventListener('abort', abandon);
      await unpacking.abandon();
    }
  }

  /** Gives `make` a directory that is gone afterwards, unless it was renamed. Where another process was first, it is no failure. */
  async #inTemporary(target: string, make: (temporary: string) => Promise<void>): Promise<void> {
    const temporary = this.#temporaryDirectory();
    try {
      await make(temporary);
    } catch (error) {
      if (!existsSync(target)) throw error;
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }

  /**
   * Makes a layer of an upper directory that a RUN wrote on top of `parents`: packs it, and keeps the directory itself
   * (unmounted, and renamed away from `upper`) as the layer's directory, unless the layer has one already.
   */
  async commitDirectory(
    { upper, unmount }: { readonly upper: string; readonly unmount?: () => void },
    parents: readonly Layer[],
    createdAt: string,
    signal: AbortSignal = never,
  ): Promise<Layer> {
    const below = new UnionView(await this.indexes(parents, signal));
    const writer = this.createWriter(signal);
    let layer: Layer;
    try {
      for (const { entry, file } of listChanges(upper, below)) {
        await writer.add(entry, file === undefined ? undefined : { path: file, length: entry.size });
      }
      layer = writer.finish(createdAt);
    } catch (error) {
      writer.abort();
      throw error;
    }
    const target = this.#path(layer.diffId, 'fs');
    try {
      if (!existsSync(target)) {
        unmount?.();
        renameSync(upper, target);
      }
    } catch (error) {
      // Another process that made the same layer was first; its directory is equal.
      if (!existsSync(target)) throw error;
    }
    return layer;
  }

  /** A writer of one new layer. */
  createWriter(signal?: AbortSignal): LayerWriter {
    const save = (diffId: Digest, entries: readonly LayerEntry[]) => {
      const index: LayerIndex = { entries, impliedDirectories: [] };
      const path = this.#path(diffId, 'listing');
      // Many steps make the layer that another one made, an empty one most often.
      if (!existsSync(path) || !markUsed(path)) saveLayerIndex(path, index);
      this.#indexes.set(diffId, index);
      this.#written.add(diffId);
    };
    return new LayerWriter(this.#options.content, save, { signal, scan: this.#options.openScan?.() });
  }

  /** The uncompressed tar; its digest, the diffID, is verified at the end. @throws BLOB_CORRUPT */
  async *tar(
    layer: Layer,
    signal: AbortSignal = never,
    onProgress?: TransferListener,
  ): AsyncIterable<Uint8Array> {
    const { content } = this.#options;
    if (content.has(layer.diffId)) {
      yield* content.read(layer.diffId);
      return;
    }
    const blob = await this.#fetched(layer, signal, onProgress);
    const packed = content.read(blob.digest);
    yield* checkedTar(decompress(packed, layerCompression(blob.mediaType)), layer);
  }

  async ensureBlob(
    layer: Layer,
    form: Compression | 'keep',
    signal: AbortSignal = never,
    onProgress?: TransferListener,
  ): Promise<Descriptor> {
    if (this.knownBlob(layer, form)) return this.#fetched(layer, signal, onProgress);
    const wanted = form === 'keep' ? 'uncompressed' : form;
    return this.#once(`${wanted} ${layer.diffId}`, () => this.#converted(layer, wanted, signal, onProgress));
  }

  async #fetched(
    layer: Layer,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
    follower?: BlobFollower,
  ): Promise<Descriptor> {
    const { content, fetchBlob } = this.#options;
    if (!layer.blob)
      throw new BuildError('STORE_DAMAGED', `layer ${layer.diffId} is not in the store`, {
        hint: 'run the build again with --no-cache',
      });
    if (!content.has(layer.blob.digest)) {
      await this.#once(`fetch ${layer.blob.digest}`, () =>
        fetchBlob(layer, signal, onProgress, follower),
      ).catch((error: unknown) => {
        if (layer.fromCache && layer.origin !== undefined) this.#lostOrigins.add(layer.origin);
        throw error;
      });
    }
    return layer.blob;
  }

  knownBlob(layer: Layer, form: Compression | 'keep'): Descriptor | undefined {
    const { blob } = layer;
    return blob && (form === 'keep' || layerCompression(blob.mediaType) === form) ? blob : undefined;
  }

  async clampTimes(layer: Layer, latestSec: number, signal: AbortSignal = never): Promise<Layer> {
    const index = await this.index(layer, signal);
    if (index.entries.every((entry) => entry.mtimeSec <= latestSec)) return layer;
    const memo = this.#path(layer.diffId, `until-${latestSec}`);
    const known = readMemo<Layer>(memo);
    if (known && this.#options.content.has(known.diffId)) return known;
    await this.ensureContents([layer], signal);
    const writer = this.createWriter(signal);
    let clamped: Layer;
    try {
      for (const entry of index.entries) {
        const { offset: _offset, ...rest } = entry;
        const content = entry.type === 'file' ? this.entryContent(layer, entry) : undefined;
        await writer.add({ ...rest, mtimeSec: Math.min(entry.mtimeSec, latestSec) }, content);
      }
      clamped = writer.finish(layer.createdAt ?? createdTime(latestSec));
    } catch (error) {
      writer.abort();
      throw error;
    }
    writeChecked(memo, JSON.stringify(clamped));
    return clamped;
  }

  /** Compressed forms are remembered by their descriptor beside the layer. */
  async #converted(
    layer: Layer,
    compression: Compression,
    signal: AbortSignal,
    onProgress: TransferListener | undefined,
  ): Promise<Descriptor> {
    const { content } = this.#options;
    const mediaType = layerMediaType(compression);
    if (compression === 'uncompressed') {
      const size =
        content.sizeOf(layer.diffId) ??
        (await content.write(this.tar(layer, signal, onProgress), { digest: layer.diffId, signal })).size;
      return { mediaType, digest: layer.diffId, size };
    }
    const memo = this.#path(layer.diffId, `blob-${compression}`);
    const known = readMemo<Descriptor>(memo);
    if (known && content.sizeOf(known.digest) === known.size) return known;
    return this.#alone({ layer, action: 'compressing', signal, onProgress }, async () => {
      const made = readMemo<Descriptor>(memo);
      if (made && content.sizeOf(made.digest) === made.size) return made;
      if (!content.has(layer.diffId)) await this.#fetched(layer, signal, onProgress);
      const compress = () => {
        const isOwn = this.#written.has(layer.diffId) && content.has(layer.diffId);
        const tar = isOwn ? readParts(content.path(layer.diffId)) : this.tar(layer, signal);
        return compressLayer(tar, compression, content, signal);
      };
      const descriptor: Descriptor = { mediaType, ...(await this.#inTurn(compress)) };
      writeChecked(memo, JSON.stringify(descriptor));
      return descriptor;
    });
  }

  /** One layer after the other: each takes all cores, and memory for each of them. Whoever has the turn waits for no lock. */
  #inTurn<T>(compress: () => Promise<T>): Promise<T> {
    const compressed = this.#compressing.then(compress);
    this.#compressing = compressed.catch(() => undefined);
    return compressed;
  }

  /** A fresh directory on the file system of the layers. */
  #temporaryDirectory(): string {
    const { snapshots } = this.#options.state;
    if (this.#temporaries === 0) {
      mkdirSync(snapshots, { recursive: true });
      spreadSubdirectories(snapshots);
    }
    this.#temporaries += 1;
    const path = join(snapshots, `.${processStamp()}-${this.#temporaries}`);
    mkdirSync(path);
    return path;
  }

  #path(diffId: Digest, name: string): string {
    return join(this.#options.state.snapshots, digestHex(diffId), name);
  }

  /** Makes a form of a layer while no other process makes one of the same layer. */
  async #alone<T>({ layer, action, signal, onProgress }: Making, make: () => Promise<T>): Promise<T> {
    using _lock = await this.#options.lock(`layer-${digestHex(layer.diffId)}`, {
      signal,
      purpose: `${action} ${layer.diffId}`,
      onWait: showWaiting(layer.diffId, onProgress),
    });
    return await make();
  }

  #once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const running = this.#making.get(key) as Promise<T> | undefined;
    if (running) return running;
    const made = make().finally(() => this.#making.delete(key));
    this.#making.set(key, made);
    return made;
  }
}

/** A small file beside a layer that tells of a form of it; undefined where there is none, or a damaged one. */
function readMemo<T>(path: string): T | undefined {
  const body = readChecked(path);
  return body === undefined ? undefined : (JSON.parse(body) as T);
}
