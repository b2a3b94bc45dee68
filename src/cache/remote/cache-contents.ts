import type { Layer } from '../../graph/contract.js';
import type { Descriptor } from '../../oci/descriptor.js';
import type { ReadContents } from '../cache-records.js';
import { type Digest, isDigest } from '../../oci/digest.js';

/** What a remote cache holds, whatever the backend. */
export interface CacheContents {
  readonly layers: readonly CachedLayer[];
  readonly steps: readonly CachedStep[];
  readonly mounts?: readonly CachedMount[];
}

/** A cache mount of RUN. */
export interface CachedMount {
  /** Name of its directory, from its id and what it started from. */
  readonly name: string;
  readonly id: string;
  readonly index: Descriptor;
  readonly packs: readonly Descriptor[];
}

export interface CachedLayer {
  readonly diffId: Digest;
  readonly contentDigest: Digest;
  readonly createdAt?: string;
  readonly blob: Descriptor;
  /** Where an image keeps the blob, which the cache does not hold itself unless it is `held`. */
  readonly origin?: string;
  /** The cache has a copy of the image's blob, for builders that know no other place. */
  readonly held?: boolean;
  /** The blob is as an image distributed it; exporters keep that form. */
  readonly distributed?: boolean;
}

/** A result, and the cache keys that stand for it. */
export interface CachedStep {
  readonly keys: readonly Digest[];
  /** Name of the vertex, for people. */
  readonly name: string;
  readonly createdAt: string;
  /** Indexes into `layers`, base first. */
  readonly layers: readonly number[];
  readonly contents?: ReadContents;
}

/** The blobs that the backend itself holds. */
export function heldLayers({ layers }: CacheContents): readonly CachedLayer[] {
  return layers.filter((layer) => layer.origin === undefined || layer.held);
}

/** The blobs of cache mounts, each once. */
export function mountBlobs({ mounts = [] }: CacheContents): Descriptor[] {
  const blobs = mounts.flatMap(({ index, packs }) => [index, ...packs]);
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
}

/** The layers of a step as results have them. @param origin of the backend */
export function layersOfStep(contents: CacheContents, step: CachedStep, origin: string): Layer[] {
  return step.layers.map((index) => {
    const { distributed, held: _held, ...layer } = contents.layers[index]!;
    return { ...layer, origin: layer.origin ?? origin, ...(distributed ? {} : { fromCache: true }) };
  });
}

/** `value` as contents where it is well formed; what a foreign hand wrote there is no cache. */
export function checkContents(value: unknown): CacheContents | undefined {
  const { layers, steps, mounts = [] } = (value ?? {}) as Partial<CacheContents>;
  if (!Array.isArray(layers) || !layers.every(isCachedLayer)) return undefined;
  if (!Array.isArray(steps)) return undefined;
  const count = layers.length;
  const isIndex = (index: unknown) => Number.isInteger(index) && Number(index) >= 0 && Number(index) < count;
  const isStep = (step: Partial<CachedStep> | null) =>
    Array.isArray(step?.keys) &&
    step.keys.every((key) => isDigest(String(key))) &&
    Array.isArray(step.layers) &&
    step.layers.every(isIndex) &&
    isContents(step.contents ?? []) &&
    typeof step.name === 'string' &&
    typeof step.createdAt === 'string';
  if (!steps.every(isStep) || !Array.isArray(mounts) || !mounts.every(isMount)) return undefined;
  return { layers, steps, mounts };
}

function isContents(contents: unknown): boolean {
  return Array.isArray(contents) && contents.every((digest) => digest === null || isDigest(String(digest)));
}

function isMount(mount: Partial<CachedMount> | null): boolean {
  return (
    typeof mount?.name === 'string' &&
    typeof mount.id === 'string' &&
    isDescriptor(mount.index) &&
    Array.isArray(mount.packs) &&
    mount.packs.every(isDescriptor)
  );
}

function isCachedLayer(layer: Partial<CachedLayer> | null): boolean {
  return (
    isDigest(String(layer?.diffId)) &&
    isDigest(String(layer?.contentDigest)) &&
    isDescriptor(layer?.blob) &&
    (layer?.createdAt === undefined || typeof layer.createdAt === 'string') &&
    (layer?.origin === undefined || String(layer.origin).startsWith('docker-image://'))
  );
}

export function isDescriptor(value: unknown): value is Descriptor {
  const { digest, size, mediaType } = (value ?? {}) as Partial<Descriptor>;
  return isDigest(String(digest)) && Number.isSafeInteger(size) && typeof mediaType === 'string';
}
