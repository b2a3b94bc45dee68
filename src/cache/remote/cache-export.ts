import type { Layer, LayerBlobs, TransferListener } from '../../graph/contract.js';
import type { Vertex } from '../../graph/definition.js';
import { throwIfAborted } from '../../errors.js';
import { type Compression, type Descriptor, layerCompression } from '../../oci/descriptor.js';
import type { Digest } from '../../oci/digest.js';
import { inParallel } from '../../oci/registry/push.js';
import type { ReadContents } from '../cache-records.js';
import type { ContentStore } from '../content-store.js';
import type { BuildkitGraph } from './buildkit-graph.js';
import type { CacheBackend } from './cache-backend.js';
import {
  annotatedLayer,
  type BuildkitPart,
  decodeCache,
  type DocumentOptions,
  encodeCache,
  type EncodedCache,
  type ReadCache,
} from './cache-config.js';
import type { CacheContents, CachedLayer, CachedMount, CachedStep } from './cache-contents.js';
import { readBlob } from './cache-import.js';
import { exportMount, type MountDirectory, type MountUpload, sendBytes } from './mount-export.js';
import { scanMount } from './mount-index.js';
import { readMountIndex } from './mount-import.js';

const UPLOADS_AT_ONCE = 4;

/** A result with the keys under which others shall find it. */
export interface ExportStep {
  readonly vertex: Vertex;
  readonly keys: readonly Digest[];
  readonly name: string;
  readonly createdAt: string;
  readonly layers: readonly Layer[];
  readonly contents?: ReadContents | undefined;
}

export interface CacheExportOptions extends Omit<DocumentOptions, 'form'> {
  readonly compression: Compression;
  /** Also layers that have another compression already. */
  readonly forceCompression: boolean;
  /** Layers of images in registries are copied, which BuildKit needs; without them it has no records. */
  readonly baseLayers: boolean;
}

/** Cache mounts that an export takes along. */
export interface ExportMounts {
  /** Those of this machine. */
  readonly directories: readonly MountDirectory[];
  /** What the cache has of these stays, where this machine has no directory for it. */
  readonly isWanted: (mount: CachedMount) => boolean;
  /** Hears of a mount that cannot be exported whole. The cache keeps what it has of it, and is exported unless this throws. */
  readonly onUnfit: (directory: MountDirectory, error: unknown) => void;
}

export interface CacheExportDependencies {
  readonly layers: LayerBlobs;
  readonly content: Pick<ContentStore, 'read'>;
  readonly signal: AbortSignal;
  readonly onProgress: TransferListener;
}

export interface CacheExportStats {
  readonly steps: number;
  readonly uploads: number;
  readonly uploadedBytes: number;
}

/** A blob that the document names, and how to get its bytes. */
interface Upload {
  readonly blob: Descriptor;
  readonly origin?: string | undefined;
  readonly open: () => AsyncIterable<Uint8Array>;
}

/**
 * Writes the steps to a backend: the blobs that it lacks, then the document. Where the document is there already nothing is
 * sent; a layer that only another registry holds is read only when it must be sent.
 */
export async function exportCache(
  steps: readonly ExportStep[],
  backend: CacheBackend,
  options: CacheExportOptions,
  deps: CacheExportDependencies & {
    readonly mounts?: ExportMounts | undefined;
    readonly graph: BuildkitGraph;
    /** What {@link EarlyUploads} sent. */
    readonly sentBefore: readonly Descriptor[];
  },
): Promise<CacheExportStats> {
  const { contents: collected, uploads: layers } = await collect(steps, backend, options, deps);
  const bytes = await backend.resolve(deps.signal);
  const earlier = bytes && (await readEarlier(bytes, backend, deps));
  const sent = [...deps.sentBefore];
  const mounts = deps.mounts && (await exportMounts(deps.mounts, earlier, backend, sent, deps.signal));
  const { contents, buildkit } = options.baseLayers
    ? await addBuildkit(steps, collected, backend, deps.graph)
    : { contents: collected };
  const all = mounts && mounts.length > 0 ? { ...contents, mounts } : contents;
  const encoded = encodeCache(all, { ...options, form: backend.form }, buildkit);
  if (bytes?.equals(encoded.document.bytes)) return { steps: steps.length, uploads: 0, uploadedBytes: 0 };
  const known = new Set([...(earlier?.blobs ?? []), ...sent].map((blob) => blob.digest));
  await inParallel([...layers, ...configOf(encoded)], UPLOADS_AT_ONCE, async (upload) => {
    throwIfAborted(deps.signal);
    if (known.has(upload.blob.digest) || (await backend.has(upload.blob, deps.signal))) return;
    await send(upload, backend, deps);
    sent.push(upload.blob);
  });
  throwIfAborted(deps.signal);
  await backend.publish(encoded.document, deps.signal);
  const uploadedBytes = sent.reduce((sum, blob) => sum + blob.size, 0);
  return { steps: steps.length, uploads: sent.length, uploadedBytes };
}

/**
 * Sends layers of steps while later steps run, one after the other, so that the export finds them there. It tells of nothing: what
 * fails here is sent by the export, and fails there.
 */
export class EarlyUploads {
  readonly #backend: CacheBackend;
  readonly #options: CacheExportOptions;
  readonly #deps: CacheExportDependencies;
  readonly #stop = new AbortController();
  readonly #offered = new Set<Digest>();
  readonly #sent: Descriptor[] = [];
  #running: Promise<void> = Promise.resolve();
  #takesMore = true;

  constructor(
    backend: CacheBackend,
    options: CacheExportOptions,
    deps: Omit<CacheExportDependencies, 'onProgress'>,
  ) {
    this.#backend = backend;
    this.#options = options;
    const signal = AbortSignal.any([deps.signal, this.#stop.signal]);
    this.#deps = { ...deps, signal, onProgress: () => undefined };
  }

  offer(layer: Layer): void {
    if (this.#offered.has(layer.diffId)) return;
    this.#offered.add(layer.diffId);
    this.#running = this.#running.then(() => this.#send(layer));
  }

  /** Waits for the layer that is on its way, unless `signal` ends it, and gives what was sent; the others are left to the export. */
  async finish(signal?: AbortSignal): Promise<readonly Descriptor[]> {
    this.#takesMore = false;
    const stop = () => this.#stop.abort();
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop);
    await this.#running;
    signal?.removeEventListener('abort', stop);
    return this.#sent;
  }

  /** Ends it at once. */
  async abandon(): Promise<void> {
    this.#stop.abort();
    await this.finish();
  }

  async #send(layer: Layer): Promise<void> {
    if (!this.#takesMore) return;
    try {
      const { blob, origin, held } = await describeLayer(layer, this.#options, this.#deps);
      if (origin !== undefined && !held) return;
      if (await this.#backend.has(blob, this.#deps.signal)) return;
      await send(layerUpload(layer, blob, this.#backend, this.#deps), this.#backend, this.#deps);
      this.#sent.push(blob);
    } catch {
      this.#takesMore = false;
    }
  }
}

async function send(
  { blob, open, origin }: Upload,
  backend: CacheBackend,
  { signal, onProgress }: CacheExportDependencies,
): Promise<void> {
  const row = { id: blob.digest, action: 'pushing', totalBytes: blob.size };
  onProgress({ ...row, currentBytes: 0, finished: false });
  await backend.put(blob, open, { signal, origin });
  onProgress({ ...row, currentBytes: blob.size, finished: true });
}

function configOf({ config }: EncodedCache): Upload[] {
  if (!config) return [];
  const open = async function* () {
    yield config.bytes;
  };
  return [{ blob: config.descriptor, open }];
}

/** The document's order of layers and steps does not depend on what ran first. */
async function collect(
  steps: readonly ExportStep[],
  backend: CacheBackend,
  options: CacheExportOptions,
  deps: CacheExportDependencies,
): Promise<{ contents: CacheContents; uploads: Upload[] }> {
  const sorted = steps.toSorted((a, b) => (a.keys[0]! < b.keys[0]! ? -1 : 1));
  const places = new Map<Digest, number>();
  const unique: Layer[] = [];
  for (const layer of sorted.flatMap((step) => step.layers)) {
    if (places.has(layer.diffId)) continue;
    places.set(layer.diffId, unique.push(layer) - 1);
  }
  const layers: CachedLayer[] = [];
  const uploads: Upload[] = [];
  for (const layer of unique) {
    const cached = await describeLayer(layer, options, deps);
    layers.push(cached);
    if (cached.origin === undefined || cached.held)
      uploads.push(layerUpload(layer, cached.blob, backend, deps));
  }
  const written = sorted.map(({ keys, name, createdAt, layers: own }): CachedStep => ({
    keys: keys.toSorted(),
    name,
    createdAt,
    layers: own.map((layer) => places.get(layer.diffId)!),
  }));
  return { contents: { layers, steps: written }, uploads };
}

/** The steps with BuildKit's digests as well. */
async function addBuildkit(
  steps: readonly ExportStep[],
  collected: CacheContents,
  backend: CacheBackend,
  graph: BuildkitGraph,
): Promise<{ contents: CacheContents; buildkit: BuildkitPart }> {
  const { writeRecords } = await import('./buildkit-records.js');
  const cached = new Map(collected.layers.map((layer) => [layer.diffId, layer]));
  const inConfig = (layer: CachedLayer) =>
    backend.form === 'config' ? annotatedLayer(layer) : { blob: layer.blob.digest };
  const { contents, ...buildkit } = await writeRecords(
    steps.map(({ vertex, createdAt, layers, contents: known }) => ({
      vertex,
      createdAt,
      layers: layers.map(({ diffId }) => inConfig(cached.get(diffId)!)),
      contents: known,
    })),
    graph,
  );
  const reads = new Map(steps.map(({ vertex, keys }) => [keys.toSorted()[0], contents.get(vertex.digest)]));
  const written = collected.steps.map((step) => {
    const read = reads.get(step.keys[0]);
    return read ? { ...step, contents: read } : step;
  });
  return { contents: { ...collected, steps: written }, buildkit };
}

/**
 * A layer of an image in a registry need not be copied; whoever imports the step here has the image's name from its own FROM. Layers
 * that builds made come in the wanted compression, unless they are there in another one and nobody insists.
 */
async function describeLayer(
  layer: Layer,
  { compression, forceCompression, baseLayers }: CacheExportOptions,
  { layers, signal, onProgress }: CacheExportDependencies,
): Promise<CachedLayer> {
  const { diffId, contentDigest, createdAt, blob, origin, fromCache } = layer;
  const about = { diffId, contentDigest, ...(createdAt === undefined ? {} : { createdAt }) };
  if (blob && !fromCache) {
    const isInRegistry = origin?.startsWith('docker-image://');
    const place = isInRegistry ? { origin, ...(baseLayers ? { held: true } : {}) } : {};
    return { ...about, blob: plain(blob), distributed: true, ...place };
  }
  if (blob && (!forceCompression || layerCompression(blob.mediaType) === compression))
    return { ...about, blob: plain(blob) };
  return { ...about, blob: plain(await layers.ensureBlob(layer, compression, signal, onProgress)) };
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function layerUpload(
  layer: Layer,
  blob: Descriptor,
  backend: CacheBackend,
  { layers, content, signal, onProgress }: CacheExportDependencies,
): Upload {
  const isAsItIs = layer.blob?.digest === blob.digest;
  const form = isAsItIs ? 'keep' : layerCompression(blob.mediaType);
  const open = async function* () {
    await layers.ensureBlob(layer, form, signal, onProgress);
    yield* content.read(blob.digest);
  };
  const origin = isAsItIs && layer.origin !== backend.origin ? layer.origin : undefined;
  return { blob, open, origin };
}

/** What an earlier document says is there; one that cannot be read says nothing. Its config is read for mounts only. */
async function readEarlier(
  bytes: Buffer,
  backend: CacheBackend,
  { mounts, signal }: { mounts?: ExportMounts | undefined; signal: AbortSignal },
): Promise<ReadCache | undefined> {
  try {
    const readConfig = async (blob: Descriptor) =>
      mounts ? readBlob(backend, blob, signal) : Buffer.from('{}');
    return await decodeCache(bytes, backend.form, readConfig);
  } catch {
    throwIfAborted(signal);
    return undefined;
  }
}

async function exportMounts(
  { directories, isWanted, onUnfit }: ExportMounts,
  earlier: ReadCache | undefined,
  backend: CacheBackend,
  sent: Descriptor[],
  signal: AbortSignal,
): Promise<CachedMount[]> {
  const before = earlier?.contents.flatMap((contents) => contents.mounts ?? []) ?? [];
  const mounts = before.filter(
    (mount) => isWanted(mount) && !directories.some((directory) => directory.name === mount.name),
  );
  for (const directory of directories) {
    const mount = before.find((each) => each.name === directory.name);
    const index = mount && (await readMountIndex(mount, backend, signal).catch(() => undefined));
    throwIfAborted(signal);
    const send = async (upload: MountUpload) => {
      if (await sendBytes(upload, backend, signal)) sent.push(upload.blob);
    };
    const scan = await scanMount(directory.path, signal).catch((error: unknown) => {
      throwIfAborted(signal);
      onUnfit(directory, error);
    });
    if (scan)
      mounts.push(
        await exportMount(directory, scan, mount && index ? { mount, index } : undefined, send, signal),
      );
    else if (mount) mounts.push(mount);
  }
  return mounts.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
