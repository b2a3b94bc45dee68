import { BuildError } from '../../errors.js';
import { type Descriptor, isIndexType, MEDIA_TYPES } from '../../oci/descriptor.js';
import { type Digest, digestOf } from '../../oci/digest.js';
import type { ImageIndex, Manifest } from '../../oci/manifest.js';
import { type ForeignCache, readForeignCache } from './buildkit-config.js';
import {
  type CacheContents,
  type CachedLayer,
  checkContents,
  heldLayers,
  isDescriptor,
  mountBlobs,
} from './cache-contents.js';
import { readInlineCaches } from './inline-cache.js';

export const CACHE_CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0';
const CREATED_ANNOTATION = 'buildkit/createdat';
const DIFF_ID_ANNOTATION = 'containerd.io/uncompressed';
const CONTENTS_VERSION = 1;

/**
 * BuildKit's cache config (its cache/remotecache/v1): layers as a tree by the index of the parent, records by key. What
 * tsbuild knows beyond that stands in a member of its own, which BuildKit passes over.
 */
export interface CacheConfig {
  readonly layers?: readonly ConfigLayer[];
  readonly records?: readonly ConfigRecord[];
  readonly tsbuild?: CacheContents & { readonly version: number };
}

export interface ConfigLayer {
  readonly blob: Digest;
  /** -1 for the first layer of a chain. */
  readonly parent?: number;
  /** Only where no manifest says it. */
  readonly annotations?: {
    readonly mediaType?: string;
    readonly diffID?: Digest;
    readonly size?: number;
    readonly createdAt?: string;
  };
}

export interface ConfigRecord {
  readonly layers?: readonly { readonly layer: number; readonly createdAt?: string }[];
  readonly digest?: Digest;
  readonly inputs?: readonly (readonly { readonly selector?: string; readonly link: number }[])[];
}

/** How the document is written. */
export interface DocumentOptions {
  readonly form: 'manifest' | 'config';
  /** An image manifest; else an index that lists layers and config, as older builders wrote it. */
  readonly imageManifest: boolean;
  readonly dockerTypes: boolean;
}

export interface EncodedCache {
  readonly document: { readonly bytes: Buffer; readonly mediaType: string };
  /** The config as a blob, where the document is a manifest. */
  readonly config?: { readonly descriptor: Descriptor; readonly bytes: Buffer };
}

/** Layers and records as BuildKit has them. */
export type BuildkitPart = Required<Pick<CacheConfig, 'layers' | 'records'>>;

/** A layer as the config has it where no manifest tells about blobs. */
export function annotatedLayer({ blob, diffId, createdAt }: CachedLayer): Omit<ConfigLayer, 'parent'> {
  const created = createdAt === undefined ? {} : { createdAt };
  const annotations = { mediaType: blob.mediaType, diffID: diffId, size: blob.size, ...created };
  return { blob: blob.digest, annotations };
}

/** Equal contents give equal bytes. @param buildkit what BuildKit shall find in it; without it the layers alone */
export function encodeCache(
  contents: CacheContents,
  options: DocumentOptions,
  buildkit?: BuildkitPart,
): EncodedCache {
  const annotated = options.form === 'config';
  const held = heldLayers(contents);
  const loose = held.map((layer): ConfigLayer => ({
    ...(annotated ? annotatedLayer(layer) : { blob: layer.blob.digest }),
    parent: -1,
  }));
  const config: CacheConfig = {
    ...(buildkit ?? { layers: loose }),
    tsbuild: { version: CONTENTS_VERSION, ...contents },
  };
  const bytes = Buffer.from(JSON.stringify(config));
  if (annotated) return { document: { bytes, mediaType: CACHE_CONFIG_TYPE } };
  const descriptor = { mediaType: CACHE_CONFIG_TYPE, digest: digestOf(bytes), size: bytes.length };
  const layers = held.map(({ blob, diffId, createdAt }) => ({
    mediaType: blob.mediaType,
    digest: blob.digest,
    size: blob.size,
    annotations: {
      ...(createdAt === undefined ? {} : { [CREATED_ANNOTATION]: createdAt }),
      [DIFF_ID_ANNOTATION]: diffId,
    },
  }));
  const blobs = [...layers, ...mountBlobs(contents)];
  return { document: manifestOf(descriptor, blobs, options), config: { descriptor, bytes } };
}

function manifestOf(
  config: Descriptor,
  layers: readonly Descriptor[],
  { imageManifest, dockerTypes }: DocumentOptions,
): EncodedCache['document'] {
  const mediaType = imageManifest
    ? MEDIA_TYPES.ociManifest
    : dockerTypes
      ? MEDIA_TYPES.dockerIndex
      : MEDIA_TYPES.ociIndex;
  const body = imageManifest ? { config, layers } : { manifests: [...layers, config] };
  return {
    bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...body }, null, 2)),
    mediaType,
  };
}

/** A document as read: what tsbuild wrote into it, and the blobs that it says the backend has. */
export interface ReadCache {
  /** Several for an image of several platforms with a cache inside; none where another builder wrote it. */
  readonly contents: readonly CacheContents[];
  /** What BuildKit's records in it say. */
  readonly foreign: readonly ForeignCache[];
  readonly blobs: readonly Descriptor[];
}

/**
 * Reads a document. @param readBlob asked for the config where the document is a manifest
 * @throws CACHE_INVALID
 */
export async function decodeCache(
  bytes: Buffer,
  form: 'manifest' | 'config',
  readBlob: (blob: Descriptor) => Promise<Buffer>,
): Promise<ReadCache> {
  if (form === 'config') return readConfig(parseJson<CacheConfig>(bytes), []);
  const manifest = parseJson<Partial<Manifest & ImageIndex>>(bytes);
  const listed = isIndexType(String(manifest.mediaType)) ? manifest.manifests : manifest.layers;
  const blobs = Array.isArray(listed) ? listed.filter(isDescriptor) : [];
  const config = manifest.config ?? blobs.find((blob) => blob.mediaType === CACHE_CONFIG_TYPE);
  if (!isDescriptor(config) || config.mediaType !== CACHE_CONFIG_TYPE)
    return { ...(await readInlineCaches(manifest as Manifest | ImageIndex, readBlob)), blobs };
  return readConfig(
    parseJson<CacheConfig>(await readBlob(config)),
    blobs.filter((blob) => blob !== config),
  );
}

function readConfig(config: CacheConfig, listed: readonly Descriptor[]): ReadCache {
  const { tsbuild } = config;
  const own = tsbuild?.version === CONTENTS_VERSION ? checkContents(tsbuild) : undefined;
  // What tsbuild wrote has the same steps under keys that take less to compute.
  const foreign = own ? undefined : readForeignCache(config, listed);
  const held = own ? [...heldLayers(own).map((layer) => layer.blob), ...mountBlobs(own)] : [];
  return { contents: own ? [own] : [], foreign: foreign ? [foreign] : [], blobs: [...listed, ...held] };
}

function parseJson<T>(bytes: Buffer): T {
  try {
    return JSON.parse(bytes.toString('utf8')) as T;
  } catch (error) {
    throw new BuildError('CACHE_INVALID', `its JSON is damaged: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
