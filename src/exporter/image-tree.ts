import type { BuiltImage, Layer } from '../graph/contract.js';
import type { Compression, Descriptor } from '../oci/descriptor.js';
import { MEDIA_TYPES } from '../oci/descriptor.js';
import type { Digest } from '../oci/digest.js';
import type { Platform } from '../oci/platform.js';
import { assembleConfig, assembleIndex, assembleManifest, mediaTypeIn } from './image-assembly.js';
import type { ExportDependencies } from './export-dependencies.js';

export interface StoredPlatform {
  readonly platform: Platform;
  readonly manifest: Descriptor;
  readonly imageId: Digest;
  /** Config and layers. */
  readonly blobs: readonly Descriptor[];
  /** Layers by the digest of a blob that may not be in the content store. */
  readonly elsewhere?: ReadonlyMap<Digest, Layer>;
}

/** A whole image in the content store. */
export interface StoredTree {
  /** The manifest, or the index for several platforms and where one was asked for. */
  readonly root: Descriptor;
  readonly platforms: readonly StoredPlatform[];
}

export interface TreeOptions {
  readonly compression: Compression;
  readonly forceCompression: boolean;
  readonly oci: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  /** Layers whose blob is known stay where they are: the tree is for a registry that may have them. */
  readonly lazy?: boolean;
}

export type TreeDependencies = Pick<
  ExportDependencies,
  'content' | 'layers' | 'annotations' | 'sourceDateEpochSec' | 'isMultiPlatform' | 'signal' | 'onProgress'
>;

/** Puts every blob of the images into the content store. What is there already is neither read nor written. */
export async function storeTree(
  images: readonly BuiltImage[],
  options: TreeOptions,
  deps: TreeDependencies,
): Promise<StoredTree> {
  const platforms: StoredPlatform[] = [];
  for (const image of images) platforms.push(await storePlatform(image, options, deps));
  if (platforms.length === 1 && !deps.isMultiPlatform) return { root: platforms[0]!.manifest, platforms };
  const manifests = platforms.map(({ manifest, platform }) => ({ ...manifest, platform }));
  const written = await deps.content.writeBytes(assembleIndex(manifests, options.oci));
  return { root: { mediaType: mediaTypeIn(MEDIA_TYPES.ociIndex, options.oci), ...written }, platforms };
}

async function storePlatform(
  image: BuiltImage,
  options: TreeOptions,
  deps: TreeDependencies,
): Promise<StoredPlatform> {
  const { content, layers, signal, onProgress } = deps;
  const elsewhere = new Map<Digest, Layer>();
  const layerBlobs = await Promise.all(
    image.layers.map((layer) => {
      const isDistributed = layer.blob !== undefined && !layer.fromCache;
      const form = isDistributed && !options.forceCompression ? 'keep' : options.compression;
      const known = options.lazy ? layers.knownBlob(layer, form) : undefined;
      if (!known) return layers.ensureBlob(layer, form, signal, onProgress);
      elsewhere.set(known.digest, layer);
      return known;
    }),
  );
  const written = await content.writeBytes(assembleConfig(image, deps.sourceDateEpochSec));
  const config: Descriptor = { mediaType: MEDIA_TYPES.ociConfig, ...written };
  const annotations = { ...deps.annotations, ...options.annotations };
  const manifest = await content.writeBytes(
    assembleManifest(config, layerBlobs, { oci: options.oci, annotations }),
  );
  return {
    platform: image.platform,
    manifest: { mediaType: mediaTypeIn(MEDIA_TYPES.ociManifest, options.oci), ...manifest },
    imageId: config.digest,
    blobs: [config, ...layerBlobs],
    elsewhere,
  };
}
