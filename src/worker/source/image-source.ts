import { resolve as resolvePath } from 'node:path';
import type { BlobFollower, ContentStore } from '../../cache/content-store.js';
import type { ImageStore } from '../../cache/image-store.js';
import { BuildError } from '../../errors.js';
import type { ImageResolver, ResolvedImage } from '../../frontend/image-resolver.js';
import type { Layer, LockAcquirer, TransferListener } from '../../graph/contract.js';
import { type Descriptor, isIndexType, isManifestType, MEDIA_TYPES } from '../../oci/descriptor.js';
import { type Digest, digestHex, digestOf, isDigest, matchesDigest } from '../../oci/digest.js';
import type { ImageConfig } from '../../oci/image-config.js';
import { checkDocumentSize, parseImageConfig, parseIndex, parseManifest } from '../../oci/image-documents.js';
import type { Manifest } from '../../oci/manifest.js';
import { formatPlatform, normalizePlatform, type Platform, selectPlatform } from '../../oci/platform.js';
import { familiarReference, formatReference, parseReference, type Reference } from '../../oci/reference.js';
import type { RegistryClient } from '../../oci/registry/client.js';
import { showWaiting } from '../sys/lock-holder.js';
import { findInLayout, parseLayoutReference, readLayoutBlob, readLayoutDocument } from './oci-layout.js';

export interface ImageSourceOptions {
  readonly content: ContentStore;
  readonly images: ImageStore;
  readonly lock: LockAcquirer;
  readonly registry: () => Promise<RegistryClient>;
  /** Always ask the registry, even for an image of the local store. */
  readonly pull?: boolean;
}

/** A platform's image with its manifest and config, both in the content store. */
export interface ImageParts {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
  readonly platform: Platform;
}

/** Where blobs come from: one of the two forms of `Layer.origin`. */
interface Origin {
  readonly text: string;
  readonly readBytes: (descriptor: Descriptor, signal: AbortSignal) => Promise<Buffer>;
}

type BlobOpener = (blob: Descriptor, signal: AbortSignal) => AsyncIterable<Uint8Array>;

const FETCHES_AT_ONCE = 4;
const PROGRESS_BYTES = 1 << 18;

/**
 * Images for FROM, COPY --from and pull: from the local image store, a registry, or an OCI layout. Manifests and configs are
 * kept in the content store and the name in the image store, so that the next build asks no network; layers are fetched by
 * whoever needs their bytes.
 */
export class ImageSource implements ImageResolver {
  readonly #options: ImageSourceOptions;
  readonly #fetching = new Map<Digest, Promise<void>>();
  readonly #opened = new Map<string, BlobOpener>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: ImageSourceOptions) {
    this.#options = options;
  }

  async resolveImage(
    name: string,
    platform: Platform,
    { strict, signal }: { strict: boolean; signal: AbortSignal },
  ): Promise<ResolvedImage> {
    if (name.startsWith('oci-layout://')) return this.#resolveLayout(name, platform, strict, signal);
    const reference = parseReference(name);
    const { root, origin } = await this.#root(reference, signal);
    const parts = await this.#parts(
      root,
      origin,
      { wanted: platform, strict, name: familiarReference(reference) },
      signal,
    );
    const { tag: _tag, digest: _digest, ...place } = reference;
    return {
      identifier: `docker-image://${formatReference({ ...place, digest: parts.descriptor.digest })}`,
      displayName: formatReference({
        ...place,
        ...(reference.tag === undefined ? {} : { tag: reference.tag }),
      }),
      digest: parts.descriptor.digest,
      rootDigest: root.digest,
      platform: parts.platform,
      config: parts.config,
    };
  }

  async #resolveLayout(
    name: string,
    platform: Platform,
    strict: boolean,
    signal: AbortSignal,
  ): Promise<ResolvedImage> {
    const reference = parseLayoutReference(name);
    const directory = resolvePath(reference.directory);
    const root = findInLayout({ ...reference, directory });
    const parts = await this.#parts(
      root,
      layoutOrigin(directory),
      { wanted: platform, strict, name },
      signal,
    );
    return {
      identifier: `oci-layout://${directory}@${parts.descriptor.digest}`,
      displayName: name,
      digest: parts.descriptor.digest,
      rootDigest: root.digest,
      platform: parts.platform,
      config: parts.config,
    };
  }

  /** The layers of an image that `resolveImage` or `pull` brought into the store; downloads nothing. */
  async layersOf(identifier: string): Promise<Layer[]> {
    const at = identifier.lastIndexOf('@');
    const digest = identifier.slice(at + 1);
    if (!isDigest(digest)) throw new BuildError('INTERNAL', `"${identifier}" is not pinned by a digest`);
    const { content } = this.#options;
    const manifest = parseManifest(await content.readBytes(digest), identifier);
    const config = parseImageConfig(await content.readBytes(manifest.config.digest), identifier);
    return layersOfManifest(manifest, config, identifier.slice(0, at));
  }

  /**
   * Brings `layer.blob` into the content store: verified, several at once, each once: of several processes one downloads it.
   * `follower` hears of it when it is this call that downloads.
   */
  async fetchBlob(
    layer: Layer,
    signal: AbortSignal,
    onProgress?: TransferListener,
    follower?: BlobFollower,
  ): Promise<void> {
    const { blob, origin } = layer;
    if (!blob || this.#options.content.has(blob.digest)) return;
    if (!origin) {
      throw new BuildError(
        'STORE_DAMAGED',
        `layer ${blob.digest} is neither in the store nor known to a registry`,
        { hint: 'pull or load its image again' },
      );
    }
    let fetching = this.#fetching.get(blob.digest);
    if (!fetching) {
      fetching = this.#limited(() => this.#download(blob, origin, { signal, onProgress, follower })).finally(
        () => this.#fetching.delete(blob.digest),
      );
      this.#fetching.set(blob.digest, fetching);
    }
    await fetching;
  }

  /** An image with all of its layers, under its name in the image store. */
  async pull(
    name: string,
    platform: Platform,
    signal: AbortSignal,
    onProgress?: TransferListener,
  ): Promise<Descriptor> {
    const reference = parseReference(name);
    const { root, origin } = await this.#fromRegistry(reference, signal);
    const parts = await this.#parts(root, origin, { wanted: platform, strict: false, name }, signal);
    const layers = layersOfManifest(parts.manifest, parts.config, origin.text);
    await Promise.all(layers.map((layer) => this.fetchBlob(layer, signal, onProgress)));
    return root;
  }

  async #root(reference: Reference, signal: AbortSignal): Promise<{ root: Descriptor; origin: Origin }> {
    const local = this.#options.pull ? undefined : this.#options.images.find(reference);
    if (local) return this.#stored(reference, local);
    try {
      using _lock = await this.#options.lock(`image-${digestHex(digestOf(formatReference(reference)))}`, {
        signal,
        purpose: `pulling ${familiarReference(reference)}`,
      });
      const fetched = this.#options.pull ? undefined : this.#options.images.find(reference);
      return fetched ? this.#stored(reference, fetched) : await this.#fromRegistry(reference, signal);
    } catch (error) {
      if (error instanceof BuildError && error.code === 'REGISTRY_NOT_FOUND') {
        throw new BuildError('REGISTRY_NOT_FOUND', `${error.message}; nor is it in the local store`, {
          cause: error,
          hint: error.hint,
        });
      }
      throw error;
    }
  }

  #stored(reference: Reference, root: Descriptor): { root: Descriptor; origin: Origin } {
    this.#options.content.markUsed(root.digest);
    return { root, origin: this.#registryOrigin(reference) };
  }

  async #fromRegistry(
    reference: Reference,
    signal: AbortSignal,
  ): Promise<{ root: Descriptor; origin: Origin }> {
    const client = await this.#options.registry();
    const { descriptor, bytes } = await client.getManifest(reference, signal);
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) {
      throw new BuildError(
        'MANIFEST_INVALID',
        `"${familiarReference(reference)}" is of the type "${descriptor.mediaType}", which is no image`,
      );
    }
    await this.#options.content.writeBytes(bytes);
    await this.#options.images.set([formatReference(reference)], descriptor);
    return { root: descriptor, origin: this.#registryOrigin(reference) };
  }

  #registryOrigin({ domain, repository }: Reference): Origin {
    return {
      text: `docker-image://${domain}/${repository}`,
      readBytes: async (descriptor, signal) => {
        const client = await this.#options.registry();
        const place = { domain, repository, digest: descriptor.digest };
        if (isIndexType(descriptor.mediaType) || isManifestType(descriptor.mediaType))
          return (await client.getManifest(place, signal)).bytes;
        checkDocumentSize(descriptor, `${domain}/${repository}`);
        return collect(client.fetchBlob(place, descriptor, signal));
      },
    };
  }

  /** Follows an index to the platform's manifest, and reads manifest and config, from the store where they are. */
  async #parts(
    root: Descriptor,
    origin: Origin,
    choice: { wanted: Platform; strict: boolean; name: string },
    signal: AbortSignal,
  ): Promise<ImageParts> {
    const descriptor = isIndexType(root.mediaType) ? await this.#select(root, origin, choice, signal) : root;
    const manifest = parseManifest(
      await this.#bytes(descriptor, origin, signal),
      choice.name,
      descriptor.mediaType,
    );
    const config = parseImageConfig(await this.#bytes(manifest.config, origin, signal), choice.name);
    const platform = normalizePlatform({
      ...config,
      os: config.os || 'linux',
      architecture: config.architecture || 'amd64',
    });
    const own: Platform = {
      os: platform.os,
      architecture: platform.architecture,
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    };
    if (config.rootfs.diff_ids.length !== manifest.layers.length) {
      throw new BuildError(
        'MANIFEST_INVALID',
        `image "${choice.name}" has ${manifest.layers.length} layers in its manifest and ${config.rootfs.diff_ids.length} in its config`,
      );
    }
    return { descriptor, manifest, config, platform: own };
  }

  async #select(
    root: Descriptor,
    origin: Origin,
    choice: { wanted: Platform; strict: boolean; name: string },
    signal: AbortSignal,
  ): Promise<Descriptor> {
    const index = parseIndex(await this.#bytes(root, origin, signal), choice.name, root.mediaType);
    const candidates = index.manifests.filter(
      (manifest) =>
        manifest.annotations?.['vnd.docker.reference.type'] === undefined &&
        isManifestType(manifest.mediaType || MEDIA_TYPES.ociManifest),
    );
    const found =
      selectPlatform(choice.wanted, candidates, (candidate) => candidate.platform) ??
      (candidates.length === 1 && !choice.strict ? candidates[0] : undefined);
    if (!found)
      throw noPlatform(
        choice,
        candidates.flatMap((candidate) => candidate.platform ?? []),
      );
    return found;
  }

  async #bytes(descriptor: Descriptor, origin: Origin, signal: AbortSignal): Promise<Buffer> {
    const { content } = this.#options;
    checkDocumentSize(descriptor, origin.text);
    if (content.has(descriptor.digest)) return content.readBytes(descriptor.digest);
    using _lock = await this.#lockBlob(descriptor, signal);
    if (content.has(descriptor.digest)) return await content.readBytes(descriptor.digest);
    const bytes = await origin.readBytes(descriptor, signal);
    if (!(await matchesDigest(bytes, descriptor.digest))) {
      throw new BuildError(
        'BLOB_CORRUPT',
        `blob ${descriptor.digest} of "${origin.text}" has another digest`,
      );
    }
    await content.writeBytes(bytes);
    return bytes;
  }

  #lockBlob({ digest }: Descriptor, signal: AbortSignal, onProgress?: TransferListener): Promise<Disposable> {
    return this.#options.lock(`blob-${digestHex(digest)}`, {
      signal,
      purpose: `downloading ${digest}`,
      onWait: showWaiting(digest, onProgress),
    });
  }

  async #download(
    blob: Descriptor,
    origin: string,
    {
      signal,
      onProgress,
      follower,
    }: {
      readonly signal: AbortSignal;
      readonly onProgress: TransferListener | undefined;
      readonly follower: BlobFollower | undefined;
    },
  ): Promise<void> {
    using _lock = await this.#lockBlob(blob, signal, onProgress);
    if (this.#options.content.has(blob.digest)) return;
    const row = { id: blob.digest, action: 'downloading', totalBytes: blob.size };
    const report = (currentBytes: number, finished: boolean) =>
      onProgress?.({ ...row, currentBytes, finished });
    report(0, false);
    const { bytes, isVerified } = await this.#openBlob(blob, origin, signal);
    await this.#options.content.write(
      counted(bytes, (count) => report(count, false)),
      { digest: blob.digest, isVerified, size: blob.size, signal, follower },
    );
    report(blob.size, true);
  }

  /** Lets this process read blobs of a remote cache whose place and credentials only this build knows: `cache://…`. */
  openOrigin(origin: string, open: BlobOpener): void {
    this.#opened.set(origin, open);
  }

  /** Whether blobs of that origin can be read, as far as this process knows. */
  hasOrigin(origin: string): boolean {
    return !origin.startsWith('cache://') || this.#opened.has(origin);
  }

  /** `isVerified` where the bytes end with an error when they are not the blob's. */
  async #openBlob(
    blob: Descriptor,
    origin: string,
    signal: AbortSignal,
  ): Promise<{ bytes: AsyncIterable<Uint8Array>; isVerified: boolean }> {
    const open = this.#opened.get(origin);
    if (open) return { bytes: open(blob, signal), isVerified: false };
    if (origin.startsWith('oci-layout://'))
      return { bytes: readLayoutBlob(origin.slice('oci-layout://'.length), blob.digest), isVerified: false };
    const { domain, repository } = parseReference(origin.slice('docker-image://'.length));
    const registry = await this.#options.registry();
    return { bytes: registry.fetchBlob({ domain, repository }, blob, signal), isVerified: true };
  }

  async #limited(run: () => Promise<void>): Promise<void> {
    if (this.#running >= FETCHES_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    try {
      await run();
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }
}

function layoutOrigin(directory: string): Origin {
  return {
    text: `oci-layout://${directory}`,
    readBytes: (descriptor) => readLayoutDocument(directory, descriptor),
  };
}

/** Layers as distributed. @param origin where their blobs can be fetched */
export function layersOfManifest(
  manifest: Manifest,
  config: ImageConfig,
  origin: string | undefined,
): Layer[] {
  return config.rootfs.diff_ids.map((diffId, i) => ({
    diffId,
    contentDigest: diffId,
    blob: manifest.layers[i]!,
    ...(origin === undefined ? {} : { origin }),
  }));
}

function noPlatform(choice: { wanted: Platform; name: string }, platforms: readonly Platform[]): BuildError {
  return new BuildError(
    'IMAGE_NOT_FOUND',
    `image "${choice.name}" has no platform ${formatPlatform(choice.wanted)}`,
    {
      hint: `it has ${platforms.map(formatPlatform).join(', ') || 'none'}`,
    },
  );
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  report: (bytes: number) => void,
): AsyncIterable<Uint8Array> {
  let bytes = 0;
  let reported = 0;
  for await (const chunk of chunks) {
    yield chunk;
    bytes += chunk.length;
    if (bytes - reported < PROGRESS_BYTES) continue;
    reported = bytes;
    report(bytes);
  }
}
