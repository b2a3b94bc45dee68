import { createReadStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { sharesDisk, SpaceMaker } from './disk-full.js';
import { BuildError } from './errors.js';
import { archiveFiles, type NamedTree } from './exporter/archive.js';
import { writeArchive } from './exporter/archive-file.js';
import { pushStored } from './exporter/export.js';
import { type StoredTree, storeTree, type TreeDependencies } from './exporter/image-tree.js';
import { findImage, imageNotFound, layersIn, ownPlatformImage, platformImages } from './find-image.js';
import type { BuiltImage, Layer } from './graph/contract.js';
import { loadArchive } from './load-archive.js';
import { decompressAny } from './oci/compression.js';
import { type Descriptor, isIndexType, MEDIA_TYPES } from './oci/descriptor.js';
import type { Digest } from './oci/digest.js';
import type { ImageConfig } from './oci/image-config.js';
import {
  formatPlatform,
  hostPlatform,
  parsePlatform,
  type Platform,
  selectPlatform,
} from './oci/platform.js';
import { familiarReference, formatReference, parseReference } from './oci/reference.js';
import type { StoreOptions } from './options.js';
import { openStore, type Store } from './store.js';

/** One row of `tsbuild images`. */
export interface ImageSummary {
  /** Full name. */
  readonly name: string;
  readonly descriptor: Descriptor;
  readonly imageId: string;
  readonly created: string | undefined;
  /** Bytes of all blobs, as stored or to be fetched. */
  readonly sizeBytes: number;
  readonly platforms: readonly string[];
}

/** What `docker inspect` shows of an image. */
export interface ImageInspection {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  readonly Created: string | undefined;
  readonly Author: string;
  readonly Architecture: string;
  readonly Variant: string | undefined;
  readonly Os: string;
  readonly Size: number;
  readonly Config: ImageConfig['config'];
  readonly RootFS: { readonly Type: 'layers'; readonly Layers: readonly string[] };
  readonly Descriptor: Descriptor;
}

/** One row of `tsbuild history`, newest first. */
export interface HistoryRow {
  readonly created: string | undefined;
  readonly createdBy: string;
  readonly comment: string;
  /** 0 for an entry without a layer. */
  readonly sizeBytes: number;
  readonly layer: string | undefined;
}

const never = new AbortController().signal;

/** Images of the local store, sorted by name. */
export async function listImages(options: StoreOptions = {}): Promise<ImageSummary[]> {
  using store = openStore(options);
  return await Promise.all(
    store.images.list().map(async ({ name, descriptor }) => {
      const images = await platformImages(store, descriptor);
      const own = selectPlatform(hostPlatform(), images, ({ config }) => config) ?? images[0];
      const blobs = images.flatMap(({ manifest }) => [manifest.config, ...manifest.layers]);
      return {
        name,
        descriptor,
        imageId: own?.manifest.config.digest ?? descriptor.digest,
        created: own?.config.created,
        sizeBytes: blobs.reduce((sum, blob) => sum + blob.size, 0),
        platforms: images.map(({ config }) => formatPlatform(config)),
      };
    }),
  );
}

/** @throws IMAGE_NOT_FOUND */
export async function inspectImage(name: string, options: StoreOptions = {}): Promise<ImageInspection[]> {
  using store = openStore(options);
  const { root } = await findImage(store, name);
  const names = store.images.list().filter((image) => image.descriptor.digest === root.digest);
  const images = await platformImages(store, root);
  return images.map(({ descriptor, manifest, config }) => ({
    Id: manifest.config.digest,
    RepoTags: names.map((image) => familiarReference(parseReference(image.name))),
    RepoDigests: [...new Set(names.map((image) => repositoryDigest(image.name, root.digest)))],
    Created: config.created,
    Author: config.author ?? '',
    Architecture: config.architecture,
    Variant: config.variant,
    Os: config.os,
    Size: manifest.layers.reduce((sum, layer) => sum + layer.size, 0),
    Config: config.config,
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Descriptor: descriptor,
  }));
}

/** @throws IMAGE_NOT_FOUND */
export async function imageHistory(name: string, options: StoreOptions = {}): Promise<HistoryRow[]> {
  using store = openStore(options);
  const { root } = await findImage(store, name);
  const image = await ownPlatformImage(store, root, name);
  const layers = image.manifest.layers[Symbol.iterator]();
  const rows = (image.config.history ?? []).map((entry): HistoryRow => {
    const layer = entry.empty_layer ? undefined : (layers.next().value as Descriptor | undefined);
    return {
      created: entry.created,
      createdBy: entry.created_by ?? '',
      comment: entry.comment ?? '',
      sizeBytes: layer?.size ?? 0,
      layer: layer?.digest,
    };
  });
  return rows.reverse();
}

/** Gives an image another name. @throws IMAGE_NOT_FOUND, REFERENCE_INVALID */
export async function tagImage(source: string, target: string, options: StoreOptions = {}): Promise<void> {
  using store = openStore(options);
  const { root } = await findImage(store, source);
  await store.images.set([formatReference(parseReference(target))], root);
}

/** Takes the name away; blobs stay for the cache and other images until they are pruned. Gives the full name. @throws IMAGE_NOT_FOUND */
export async function removeImage(name: string, options: StoreOptions = {}): Promise<string> {
  using store = openStore(options);
  const { root, fullName, isById } = await findImage(store, name);
  const names = store.images.list().filter(({ descriptor }) => descriptor.digest === root.digest);
  if (isById && names.length > 1)
    throw new BuildError('USAGE', `the image "${name}" has ${names.length} names`, {
      hint: `give one of them: ${names.map((image) => familiarReference(parseReference(image.name))).join(', ')}`,
    });
  if (fullName === undefined)
    throw new BuildError('USAGE', `the image "${name}" has no name that could be taken away`, {
      hint: 'tsbuild prune removes it, when nothing uses it',
    });
  // A name with a digest finds an image, and is none that an image has.
  if (!(await store.images.remove(parseReference(fullName)))) throw imageNotFound(store, name);
  return fullName;
}

export interface SaveOptions extends StoreOptions {
  /** A file, or `-` for standard output. */
  readonly output: string;
  readonly format?: 'docker' | 'oci';
  readonly stdout?: Writable;
}

/** Writes images into one docker or OCI archive. @throws IMAGE_NOT_FOUND, EXPORT_FAILED, DISK_FULL */
export async function saveImages(names: readonly string[], options: SaveOptions): Promise<void> {
  using store = openStore(options);
  const signal = options.signal ?? never;
  const docker = options.format !== 'oci';
  const space = new SpaceMaker(store, signal);
  const step = `saving ${names.join(', ')}`;
  const trees = await space.retrying(step, () => fetchedTrees(store, names, signal, docker));
  const files = archiveFiles(trees, store.content, docker);
  const write = () =>
    writeArchive(files, options.output, { stdout: options.stdout, signal, memory: store.state.archives });
  const isOnStore = options.output !== '-' && sharesDisk(store, [{ type: 'docker', dest: options.output }]);
  await (isOnStore ? space.retrying(step, write) : write());
}

/** Each image once, with all of its names. */
async function fetchedTrees(
  store: Store,
  names: readonly string[],
  signal: AbortSignal,
  docker: boolean,
): Promise<NamedTree[]> {
  const byRoot = new Map<string, NamedTree>();
  for (const name of names) {
    const { root, fullName } = await findImage(store, name);
    const known = byRoot.get(root.digest);
    const tree = known?.tree ?? (await fetchedTree(store, root, signal, docker));
    byRoot.set(root.digest, { tree, names: [...(known?.names ?? []), ...(fullName ? [fullName] : [])] });
  }
  return [...byRoot.values()];
}

/** The image as stored, every layer brought into the store. A docker archive takes this machine's platform of an index. */
async function fetchedTree(
  store: Store,
  root: Descriptor,
  signal: AbortSignal,
  single: boolean,
): Promise<StoredTree> {
  const all = await platformImages(store, root);
  const own =
    single && all.length > 1 ? selectPlatform(hostPlatform(), all, ({ config }) => config) : undefined;
  const images = own ? [own] : all;
  for (const image of images) {
    for (const layer of layersIn(store, root, image)) await store.layers.ensureBlob(layer, 'keep', signal);
  }
  return {
    root: own ? own.descriptor : root,
    platforms: images.map(({ descriptor, manifest, config }) => ({
      platform: platformOf(config),
      manifest: descriptor,
      imageId: manifest.config.digest,
      blobs: [manifest.config, ...manifest.layers],
    })),
  };
}

export interface LoadOptions extends StoreOptions {
  /** A file, or `-` for standard input. */
  readonly input: string;
  readonly stdin?: Readable;
}

/** Takes the images of a docker or OCI archive into the store. Gives their full names, or digests where they have none. @throws TAR_INVALID, MANIFEST_INVALID, BLOB_CORRUPT */
export async function loadImages(options: LoadOptions): Promise<string[]> {
  using store = openStore(options);
  const signal = options.signal ?? never;
  const load = () => loadArchive(openInput(options.input, options.stdin), store, signal);
  return await takeIn(`loading ${options.input}`, load, { store, signal, input: options.input });
}

/** Reads an input into the store, once more after a prune where the disk was full. @throws DISK_FULL */
async function takeIn<T>(
  name: string,
  read: () => Promise<T>,
  { store, signal, input }: { store: Store; signal: AbortSignal; input: string },
): Promise<T> {
  const space = new SpaceMaker(store, signal);
  if (input !== '-') return await space.retrying(name, read);
  // Standard input cannot be read twice.
  return await read().catch(async (error: unknown) => {
    throw await space.explained(error, name);
  });
}

export interface ImportOptions extends StoreOptions {
  /** A tar of a root file system, compressed or not; `-` for standard input. */
  readonly input: string;
  readonly name: string;
  readonly platform?: string;
  readonly stdin?: Readable;
}

/** Makes an image with one layer of a root file system's tar. Gives the image ID. @throws TAR_INVALID, COMPRESSION_INVALID, DISK_FULL */
export async function importImage(options: ImportOptions): Promise<string> {
  using store = openStore(options);
  const signal = options.signal ?? never;
  const make = () => importInto(store, options, signal);
  return await takeIn(`importing ${options.input}`, make, { store, signal, input: options.input });
}

async function importInto(store: Store, options: ImportOptions, signal: AbortSignal): Promise<string> {
  const names = [formatReference(parseReference(options.name))];
  const tar = decompressAny(openInput(options.input, options.stdin));
  const { digest } = await store.content.write(tar, { signal });
  const createdAt = new Date().toISOString();
  const layer: Layer = { diffId: digest, contentDigest: digest, createdAt };
  await store.layers.index(layer, signal);
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const image: BuiltImage = {
    platform,
    layers: [layer],
    baseHistoryLength: 0,
    config: {
      ...platform,
      config: {},
      rootfs: { type: 'layers', diff_ids: [] },
      history: [{ comment: `Imported from ${options.input}` }],
    },
  };
  const tree = await storeTree(
    [image],
    { compression: 'uncompressed', forceCompression: false, oci: true, annotations: {} },
    treeDependencies(store, signal),
  );
  await store.images.set(names, tree.root);
  return tree.platforms[0]!.imageId;
}

export interface PullOptions extends StoreOptions {
  readonly platform?: string;
}

/** Downloads an image with all its layers. Gives its manifest's or index's descriptor. @throws REGISTRY_*, IMAGE_NOT_FOUND, BLOB_CORRUPT */
export async function pullImage(name: string, options: PullOptions = {}): Promise<Descriptor> {
  using store = openStore(options);
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const { onProgress } = options;
  const digest = 'pull';
  onProgress?.({
    kind: 'announced',
    digest,
    atMs: Date.now(),
    name: `pulling ${formatReference(parseReference(name))}`,
    inputs: [],
  });
  onProgress?.({ kind: 'started', digest, atMs: Date.now() });
  const signal = options.signal ?? never;
  const pull = () =>
    store.imageSource.pull(name, platform, signal, (row) =>
      onProgress?.({ kind: 'transfer', digest, atMs: Date.now(), ...row }),
    );
  const root = await new SpaceMaker(store, signal).retrying(`pulling ${name}`, pull);
  onProgress?.({ kind: 'done', digest, atMs: Date.now() });
  return root;
}

/** Uploads an image with gzip layers to the registry that its name says. Gives the pushed descriptor. @throws IMAGE_NOT_FOUND, REGISTRY_*, DISK_FULL */
export async function pushImage(name: string, options: StoreOptions = {}): Promise<Descriptor> {
  using store = openStore(options);
  const signal = options.signal ?? never;
  const { root, fullName } = await findImage(store, name);
  if (fullName === undefined)
    throw new BuildError('USAGE', `the image "${name}" has no name, which says where it is pushed`, {
      hint: `tsbuild tag ${name} REGISTRY/NAME:TAG`,
    });
  const images = await platformImages(store, root);
  const built = images.map((image): BuiltImage => ({
    platform: platformOf(image.config),
    layers: layersIn(store, root, image).map((layer) =>
      layer.blob?.mediaType === MEDIA_TYPES.ociLayer ? withoutBlob(layer) : layer,
    ),
    config: image.config,
    baseHistoryLength: image.config.history?.length ?? 0,
  }));
  const { onProgress } = options;
  const digest = 'push';
  onProgress?.({ kind: 'announced', digest, atMs: Date.now(), name: `pushing ${fullName}`, inputs: [] });
  onProgress?.({ kind: 'started', digest, atMs: Date.now() });
  const compress = () =>
    storeTree(
      built,
      { compression: 'gzip', forceCompression: false, oci: true, annotations: {} },
      { ...treeDependencies(store, signal), isMultiPlatform: isIndexType(root.mediaType) },
    );
  const tree = await new SpaceMaker(store, signal).retrying(`pushing ${fullName}`, compress);
  await pushStored(fullName, tree.root, {
    content: store.content,
    layers: store.layers,
    registry: () => store.registry(),
    signal,
    onProgress: (row) => onProgress?.({ kind: 'transfer', digest, atMs: Date.now(), ...row }),
  });
  onProgress?.({ kind: 'done', digest, atMs: Date.now() });
  return tree.root;
}

/** An uncompressed layer that tsbuild itself stored is compressed for the way. */
function withoutBlob(layer: Layer): Layer {
  const { blob: _blob, origin: _origin, ...rest } = layer;
  return rest;
}

function treeDependencies(store: Store, signal: AbortSignal): TreeDependencies {
  return {
    content: store.content,
    layers: store.layers,
    annotations: {},
    isMultiPlatform: false,
    signal,
    onProgress: () => undefined,
  };
}

function openInput(input: string, stdin: Readable | undefined): AsyncIterable<Uint8Array> {
  if (input === '-') return (stdin ?? process.stdin) as AsyncIterable<Uint8Array>;
  return readFileOf(input);
}

async function* readFileOf(path: string): AsyncIterable<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new BuildError(
      'USAGE',
      code === 'ENOENT' ? `the file "${path}" does not exist` : `"${path}" cannot be read: ${message}`,
      { cause: error },
    );
  }
}

function repositoryDigest(name: string, digest: Digest): string {
  const { tag: _tag, ...reference } = parseReference(name);
  return familiarReference({ ...reference, digest });
}

function platformOf(config: ImageConfig): Platform {
  return {
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
  };
}
