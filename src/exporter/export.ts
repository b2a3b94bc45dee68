import { BuildError } from '../errors.js';
import type { BuiltImage, Layer } from '../graph/contract.js';
import type { Compression, Descriptor } from '../oci/descriptor.js';
import type { Digest } from '../oci/digest.js';
import { formatPlatform } from '../oci/platform.js';
import { formatReference, parseReference } from '../oci/reference.js';
import { pushTree } from '../oci/registry/push.js';
import type { BuiltPlatform, OutputSpec } from './output-spec.js';
import { archiveFiles, writeDestination, writeLayout } from './archive.js';
import { writeArchive } from './archive-file.js';
import type { ExportDependencies } from './export-dependencies.js';
import { fileSystemTar, TAR_TRAILER, writeFileSystem } from './file-system.js';
import { type StoredTree, storeTree, type TreeOptions } from './image-tree.js';

export interface ExportResponse {
  /** Of the last output that makes an image. */
  readonly descriptor?: Descriptor;
  readonly platforms: readonly BuiltPlatform[];
  readonly names: readonly string[];
}

type Exporter = (
  images: readonly BuiltImage[],
  output: OutputSpec,
  deps: ExportDependencies,
) => Promise<StoredTree | undefined>;

/** Writes the images to every output, in order. @throws EXPORT_FAILED, REGISTRY_* */
export async function exportImages(
  images: readonly BuiltImage[],
  outputs: readonly OutputSpec[],
  deps: ExportDependencies,
): Promise<ExportResponse> {
  let tree: StoredTree | undefined;
  const names = new Set(deps.names);
  for (const output of outputs) {
    const own = (output.names ?? []).map((name) => formatReference(parseReference(name)));
    for (const name of own) names.add(name);
    const sourceDateEpochSec = output.sourceDateEpochSec ?? deps.sourceDateEpochSec;
    const ownDeps = {
      ...deps,
      names: [...new Set([...deps.names, ...own])],
      ...(sourceDateEpochSec === undefined ? {} : { sourceDateEpochSec }),
    };
    const clamped =
      sourceDateEpochSec === undefined || output.rewriteTimestamp === false
        ? images
        : await Promise.all(images.map((image) => clampImage(image, sourceDateEpochSec, deps)));
    tree = (await EXPORTERS[output.type](clamped, output, ownDeps)) ?? tree;
  }
  return {
    names: [...names],
    platforms: images.map((image, i) => ({ platform: image.platform, ...platformOf(tree, i) })),
    ...(tree ? { descriptor: tree.root } : {}),
  };
}

/** Layers of the base image keep their times. */
async function clampImage(
  image: BuiltImage,
  latestSec: number,
  { layers, signal }: ExportDependencies,
): Promise<BuiltImage> {
  const history = image.config.history ?? [];
  const inBase = history.slice(0, image.baseHistoryLength).filter((entry) => !entry.empty_layer).length;
  const clamped = image.layers.map((layer, i) =>
    i < inBase || (layer.blob && !layer.fromCache) ? layer : layers.clampTimes(layer, latestSec, signal),
  );
  return { ...image, layers: await Promise.all(clamped) };
}

function platformOf(tree: StoredTree | undefined, i: number): Pick<BuiltPlatform, 'manifest' | 'imageId'> {
  const stored = tree?.platforms[i];
  return stored ? { manifest: stored.manifest, imageId: stored.imageId } : {};
}

const EXPORTERS: Readonly<Record<OutputSpec['type'], Exporter>> = {
  image: exportToStore,
  registry: (images, output, deps) => exportToStore(images, { ...output, push: true }, deps),
  docker: (images, output, deps) =>
    output.dest === undefined
      ? exportToEngine(images, output, deps)
      : exportArchive(images, output, deps, true),
  oci: (images, output, deps) => exportArchive(images, output, deps, false),
  local: exportDirectory,
  tar: exportTar,
  cacheonly: async () => undefined,
};

function treeOptions(output: OutputSpec, compression: Compression): TreeOptions {
  return {
    compression: output.compression ?? compression,
    forceCompression: output.forceCompression ?? false,
    oci: output.ociMediaTypes ?? true,
    annotations: output.annotations ?? {},
  };
}

/** The local image store, and with `push` the registries that the names say. */
async function exportToStore(
  images: readonly BuiltImage[],
  output: OutputSpec,
  deps: ExportDependencies,
): Promise<StoredTree> {
  const options = treeOptions(output, output.push ? 'gzip' : 'uncompressed');
  const tree = await storeTree(images, { ...options, lazy: output.push ?? false }, deps);
  if (output.type !== 'registry') await deps.images.set(deps.names, tree.root);
  if (!output.push) return tree;
  if (deps.names.length === 0)
    throw new BuildError('USAGE', 'pushing needs a name for the image', { hint: 'give one with -t' });
  const elsewhere = new Map(tree.platforms.flatMap((platform) => [...(platform.elsewhere ?? [])]));
  for (const name of deps.names) await pushStored(name, tree.root, deps, elsewhere);
  return tree;
}

/** The engine that `docker` talks to, and the local image store, which is all where there is no engine. */
async function exportToEngine(
  images: readonly BuiltImage[],
  output: OutputSpec,
  deps: ExportDependencies,
): Promise<StoredTree> {
  const { findEngine } = await import('../oci/engine/endpoint.js');
  const engine = findEngine();
  if (!engine) {
    deps.onWarning('there is no Docker engine here to load into: the image is in the local image store only');
    return exportToStore(images, { ...output, type: 'image' }, deps);
  }
  const { loadIntoEngine } = await import('./engine-load.js');
  // Layers that the engine has need not be fetched.
  const tree = await storeTree(images, { ...treeOptions(output, 'uncompressed'), lazy: true }, deps);
  await deps.images.set(deps.names, tree.root);
  await loadIntoEngine(images, tree, engine, deps);
  return tree;
}

/** Pushes what the content store holds, and layers that lie elsewhere: these are fetched when the registry lacks them. */
export async function pushStored(
  name: string,
  root: Descriptor,
  {
    content,
    layers,
    registry,
    signal,
    onProgress,
  }: Pick<ExportDependencies, 'content' | 'layers' | 'registry' | 'signal' | 'onProgress'>,
  elsewhere: ReadonlyMap<Digest, Layer> = new Map(),
): Promise<void> {
  const source = {
    readBytes: (descriptor: Descriptor) => content.readBytes(descriptor.digest),
    readBlob: async function* ({ digest }: Descriptor) {
      const layer = elsewhere.get(digest);
      if (layer) await layers.ensureBlob(layer, 'keep', signal, onProgress);
      yield* content.read(digest);
    },
    originOf: ({ digest }: Descriptor) => elsewhere.get(digest)?.origin,
  };
  await pushTree(await registry(), parseReference(name), root, source, { signal, onProgress });
}

async function exportArchive(
  images: readonly BuiltImage[],
  output: OutputSpec,
  deps: ExportDependencies,
  docker: boolean,
): Promise<StoredTree> {
  const dest = output.dest ?? missingDest(output);
  const tree = await storeTree(images, treeOptions(output, 'uncompressed'), deps);
  const named = [{ tree, names: deps.names }];
  if (!docker && output.tar === false) writeLayout(named, deps.content, dest);
  else await writeArchive(archiveFiles(named, deps.content, docker), dest, deps);
  return tree;
}

async function exportDirectory(
  images: readonly BuiltImage[],
  output: OutputSpec,
  deps: ExportDependencies,
): Promise<undefined> {
  const dest = output.dest ?? missingDest(output);
  for (const image of images) {
    const place = directoryOf(image, images, deps);
    await writeFileSystem(image, place === '' ? dest : `${dest}/${place}`, deps);
  }
}

async function exportTar(
  images: readonly BuiltImage[],
  output: OutputSpec,
  deps: ExportDependencies,
): Promise<undefined> {
  const bytes = async function* (): AsyncIterable<Uint8Array> {
    for (const image of images) yield* fileSystemTar(image, deps, directoryOf(image, images, deps));
    yield TAR_TRAILER;
  };
  await writeDestination(bytes(), output.dest ?? '-', deps.stdout, deps.signal);
}

/** Of one platform's files in the destination; empty where they are alone there. */
function directoryOf(
  { platform }: BuiltImage,
  images: readonly BuiltImage[],
  { isMultiPlatform }: ExportDependencies,
): string {
  return images.length === 1 && !isMultiPlatform ? '' : formatPlatform(platform).replaceAll('/', '_');
}

function missingDest(output: OutputSpec): never {
  throw new BuildError('USAGE', `-o type=${output.type} needs a destination`, {
    hint: `write -o type=${output.type},dest=PATH, or dest=- for standard output`,
  });
}
