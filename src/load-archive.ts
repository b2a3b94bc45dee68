import { readFileSync, rmSync } from 'node:fs';
import type { StagedBlob } from './cache/content-store.js';
import { BuildError, throwIfAborted } from './errors.js';
import { assembleManifest } from './exporter/image-assembly.js';
import { decompressAny, detectCompression } from './oci/compression.js';
import {
  type Compression,
  type Descriptor,
  isIndexType,
  layerMediaType,
  MEDIA_TYPES,
} from './oci/descriptor.js';
import type { Digest } from './oci/digest.js';
import type { ImageConfig } from './oci/image-config.js';
import {
  checkDocumentSize,
  parseArchiveManifest,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from './oci/image-documents.js';
import { limitHint, LIMITS } from './oci/limits.js';
import type { Manifest } from './oci/manifest.js';
import { formatReference, parseReference } from './oci/reference.js';
import { readTar } from './oci/tar/tar-reader.js';
import type { Store } from './store.js';
import { layersOfManifest } from './worker/source/image-source.js';

interface StagedFile extends StagedBlob {
  /** The first bytes, which tell the compression. */
  readonly head: Buffer;
}

/**
 * Takes a docker archive (`docker save`, old and new, podman, BuildKit) or an OCI archive into the store. The archive is read once,
 * and every file of it becomes a temporary one; those that an image needs become blobs.
 */
export async function loadArchive(
  source: AsyncIterable<Uint8Array>,
  store: Store,
  signal: AbortSignal,
): Promise<string[]> {
  using archive = new LoadedArchive(store);
  const links = new Map<string, string>();
  let entries = 0;
  for await (const entry of readTar(decompressAny(source))) {
    throwIfAborted(signal);
    if (++entries > LIMITS.imageArchiveEntries)
      throw new BuildError('TAR_INVALID', `the archive has more than ${LIMITS.imageArchiveEntries} files`, {
        hint: `a tar of a root file system is taken with tsbuild import; ${limitHint('imageArchiveEntries')}`,
      });
    const name = entry.name.replace(/^(\.?\/)+/, '');
    if (entry.type === 'file') archive.add(name, await stageFile(entry.content, store, signal));
    else if (entry.type === 'symlink') links.set(name, resolveLink(name, entry.linkName!));
    else if (entry.type === 'hardlink') links.set(name, entry.linkName!.replace(/^(\.?\/)+/, ''));
  }
  archive.link(links);
  if (archive.has('manifest.json')) return await archive.loadDocker();
  if (archive.has('index.json')) return await archive.loadOci();
  throw new BuildError(
    'MANIFEST_INVALID',
    'the archive holds no image: neither manifest.json nor index.json',
    {
      hint: 'a tar of a root file system is taken with tsbuild import',
    },
  );
}

function resolveLink(name: string, target: string): string {
  const parts = name.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.' && part !== '') parts.push(part);
  }
  return parts.join('/');
}

async function stageFile(
  content: AsyncIterable<Uint8Array>,
  store: Store,
  signal: AbortSignal,
): Promise<StagedFile> {
  let head = Buffer.alloc(0);
  const peeked = async function* (): AsyncIterable<Uint8Array> {
    for await (const chunk of content) {
      if (head.length < 6) head = Buffer.concat([head, chunk.subarray(0, 6)]);
      yield chunk;
    }
  };
  const staged = await store.content.stage(peeked(), { signal });
  return { ...staged, head: head.subarray(0, 6) };
}

class LoadedArchive implements Disposable {
  readonly #files = new Map<string, StagedFile>();
  /** Temporary files of what is no blob yet. A blob is never removed here: others may have begun to use it. */
  readonly #staged = new Map<Digest, string>();
  readonly #store: Store;
  readonly #kept = new Set<Digest>();

  constructor(store: Store) {
    this.#store = store;
  }

  add(name: string, file: StagedFile): void {
    this.#files.set(name, file);
    if (this.#staged.has(file.digest)) rmSync(file.temporary, { force: true });
    else this.#staged.set(file.digest, file.temporary);
  }

  /** Other names of files that were added. */
  link(links: ReadonlyMap<string, string>): void {
    for (const [name, target] of links) {
      const file = this.#files.get(target);
      if (file) this.#files.set(name, file);
    }
  }

  has(name: string): boolean {
    return this.#files.has(name);
  }

  [Symbol.dispose](): void {
    for (const temporary of this.#staged.values()) rmSync(temporary, { force: true });
  }

  async loadDocker(): Promise<string[]> {
    const manifests = parseArchiveManifest(this.#stagedDocument('manifest.json'));
    const loaded: string[] = [];
    for (const { Config, RepoTags, Layers } of manifests) {
      const config = this.#file(Config);
      const layers = Layers.map((path) => this.#layer(this.#file(path)));
      const descriptor: Descriptor = {
        mediaType: MEDIA_TYPES.ociConfig,
        digest: config.digest,
        size: config.size,
      };
      for (const { digest } of [descriptor, ...layers]) this.#adopt(digest);
      const parsed = parseImageConfig(await this.#blob(descriptor), Config);
      const written = await this.#store.content.writeBytes(
        assembleManifest(descriptor, layers, { oci: true, annotations: {} }),
      );
      await this.#verify({ schemaVersion: 2, config: descriptor, layers }, parsed);
      const manifest: Descriptor = { mediaType: MEDIA_TYPES.ociManifest, ...written };
      loaded.push(...(await this.#name(manifest, RepoTags ?? [])));
    }
    return loaded;
  }

  async loadOci(): Promise<string[]> {
    const index = parseIndex(this.#stagedDocument('index.json'), 'the archive');
    const loaded: string[] = [];
    for (const { annotations, ...descriptor } of index.manifests) {
      await this.#keepTree(descriptor, 0);
      const name =
        annotations?.['io.containerd.image.name'] ?? annotations?.['org.opencontainers.image.ref.name'];
      const hasName = name !== undefined && /[a-z0-9]/i.test(name);
      loaded.push(...(await this.#name(descriptor, hasName ? [name] : [])));
    }
    return [...new Set(loaded)];
  }

  async #keepTree(descriptor: Descriptor, depth: number): Promise<void> {
    // An index that names another one twice, and so on, would be walked for ever.
    if (this.#kept.has(descriptor.digest)) return;
    this.#kept.add(descriptor.digest);
    if (depth > LIMITS.indexDepth)
      throw new BuildError('MANIFEST_INVALID', `the archive has indexes within indexes`, {
        hint: limitHint('indexDepth'),
      });
    if (!this.#adopt(descriptor.digest)) {
      throw new BuildError('MANIFEST_INVALID', `the archive lacks the blob ${descriptor.digest}`, {
        hint: 'it was cut short or made for another platform',
      });
    }
    if (isIndexType(descriptor.mediaType)) {
      const { manifests } = parseIndex(await this.#blob(descriptor), descriptor.digest, descriptor.mediaType);
      for (const child of manifests) if (this.#adopt(child.digest)) await this.#keepTree(child, depth + 1);
      return;
    }
    const manifest = parseManifest(await this.#blob(descriptor), descriptor.digest, descriptor.mediaType);
    for (const blob of [manifest.config, ...manifest.layers]) {
      this.#adopt(blob.digest);
      const size = this.#store.content.sizeOf(blob.digest);
      if (size !== blob.size)
        throw new BuildError(
          'BLOB_CORRUPT',
          `the archive's blob ${blob.digest} is ${size === undefined ? 'missing' : 'damaged'}`,
        );
    }
    // What is no image, such as a provenance statement, has no layers to verify.
    if (!isImageConfigType(manifest.config.mediaType)) return;
    await this.#verify(manifest, parseImageConfig(await this.#blob(manifest.config), descriptor.digest));
  }

  /** Every layer must unpack to its diffID; reading its listing proves it. */
  async #verify(manifest: Manifest, config: ImageConfig): Promise<void> {
    if (config.rootfs.diff_ids.length !== manifest.layers.length) {
      throw new BuildError(
        'MANIFEST_INVALID',
        `the archive's image has ${manifest.layers.length} layers and ${config.rootfs.diff_ids.length} diff ids`,
      );
    }
    for (const layer of layersOfManifest(manifest, config, undefined)) {
      if (layer.blob!.digest === layer.diffId) continue;
      for await (const chunk of this.#store.layers.tar(layer)) void chunk;
    }
  }

  #layer(file: StagedFile): Descriptor {
    const compression = detectCompression(file.head);
    if (compression === 'bzip2' || compression === 'xz')
      throw new BuildError(
        'MANIFEST_INVALID',
        `a layer of the archive is compressed with ${compression}, which images do not have`,
      );
    return {
      mediaType: layerMediaType(compression satisfies Compression),
      digest: file.digest,
      size: file.size,
    };
  }

  async #name(descriptor: Descriptor, names: readonly string[]): Promise<string[]> {
    const full = names.map((name) => formatReference(parseReference(name)));
    if (full.length === 0) return [descriptor.digest];
    await this.#store.images.set(full, descriptor);
    return full;
  }

  /** Makes a blob of what the archive has. False where the store has none of that digest, from elsewhere either. */
  #adopt(digest: Digest): boolean {
    const temporary = this.#staged.get(digest);
    if (temporary === undefined) return this.#store.content.has(digest);
    this.#store.content.adopt(temporary, digest);
    this.#staged.delete(digest);
    return true;
  }

  #file(path: string): StagedFile {
    const file = this.#files.get(path);
    if (!file)
      throw new BuildError(
        'MANIFEST_INVALID',
        `the archive's manifest names "${path}", which it does not hold`,
        { hint: 'it was cut short; save it again' },
      );
    return file;
  }

  /** What says which files are blobs; read before any is one. */
  #stagedDocument(name: string): Buffer {
    const { digest, size } = this.#file(name);
    checkDocumentSize({ mediaType: MEDIA_TYPES.ociConfig, digest, size }, 'the archive');
    return readFileSync(this.#staged.get(digest)!);
  }

  #blob(descriptor: Descriptor): Promise<Buffer> {
    checkDocumentSize(
      { ...descriptor, size: this.#store.content.sizeOf(descriptor.digest) ?? 0 },
      'the archive',
    );
    return this.#store.content.readBytes(descriptor.digest);
  }
}

function isImageConfigType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPES.ociConfig || mediaType === MEDIA_TYPES.dockerConfig;
}
