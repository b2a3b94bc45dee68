import { join } from 'node:path';
import type { ContentStore } from './cache/content-store.js';
import { namesIn } from './cache/if-there.js';
import { manifestType } from './cache/image-blobs.js';
import type { StoredImage } from './cache/image-store.js';
import { BuildError } from './errors.js';
import type { Layer } from './graph/contract.js';
import { type Descriptor, isIndexType } from './oci/descriptor.js';
import { type Digest, digestHex, isDigest } from './oci/digest.js';
import type { ImageConfig } from './oci/image-config.js';
import { parseImageConfig, parseIndex, parseManifest } from './oci/image-documents.js';
import type { Manifest } from './oci/manifest.js';
import { hostPlatform, selectPlatform } from './oci/platform.js';
import { familiarReference, formatReference, parseReference } from './oci/reference.js';
import type { Store } from './store.js';
import { layersOfManifest } from './worker/source/image-source.js';

/** One platform of an image. */
export interface PlatformImage {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/** What a name or an ID stands for in the local store. */
export interface FoundImage {
  readonly root: Descriptor;
  /** Its name; one of them, where it was found by its ID; undefined where it has none. */
  readonly fullName: string | undefined;
  readonly isById: boolean;
}

/** The digits of an image ID, which may be cut to twelve, in what may be a name as well. */
const IMAGE_ID = /^(?:sha256:)?([0-9a-f]{12,64})$/;
const ID_DIGITS = 64;

/**
 * An image by its name, or by its ID: the digest of its config, or of its manifest or index.
 * @throws IMAGE_NOT_FOUND, USAGE where several have IDs that begin like that
 */
export async function findImage(store: Store, name: string): Promise<FoundImage> {
  const digits = IMAGE_ID.exec(name)?.[1];
  if (digits?.length !== ID_DIGITS) {
    const reference = parseReference(name);
    const root = store.images.find(reference);
    if (root) return { root, fullName: formatReference(reference), isById: false };
  }
  const found = await findImageById(store, name);
  if (!found) throw imageNotFound(store, name);
  return found;
}

/** As {@link findImage}, by an ID alone; undefined for what is none of an image that is here. */
export async function findImageById(store: Store, name: string): Promise<FoundImage | undefined> {
  const digits = IMAGE_ID.exec(name)?.[1];
  const matches = digits === undefined ? [] : await imagesById(store, digits);
  if (new Set(matches.map(({ id }) => id)).size > 1)
    throw new BuildError('USAGE', `several images have IDs that begin with "${digits}"`, {
      hint: 'give more of its digits, or its name',
    });
  const [found] = matches;
  return found && { root: found.root, fullName: found.name, isById: true };
}

/** Whether what is written like that is an ID, and no name. */
export function isImageId(name: string): boolean {
  return name.startsWith('sha256:') || IMAGE_ID.exec(name)?.[1]?.length === ID_DIGITS;
}

interface ImageMatch {
  readonly root: Descriptor;
  readonly name: string | undefined;
  /** The digest that begins like that. */
  readonly id: Digest;
}

/** Images with a name, or where there is none those of which nothing but their blobs is kept. */
async function imagesById(store: Store, digits: string): Promise<ImageMatch[]> {
  const named = await matchesOf(store, digits, store.images.list());
  return named.length > 0 ? named : matchesOf(store, digits, manifestsIn(store.content));
}

async function matchesOf(
  store: Store,
  digits: string,
  images: Iterable<Pick<StoredImage, 'descriptor'> & Partial<StoredImage>>,
): Promise<ImageMatch[]> {
  const matches: ImageMatch[] = [];
  for (const { descriptor, name } of images) {
    const ids = await idsOf(store, descriptor, name !== undefined);
    const id = ids.find((each) => digestHex(each).startsWith(digits));
    if (id !== undefined) matches.push({ root: descriptor, name, id });
  }
  return matches;
}

/** Manifests and indexes, of whatever image. */
function* manifestsIn(content: ContentStore): Generator<{ descriptor: Descriptor }> {
  for (const hex of namesIn(join(content.root, 'blobs/sha256'))) {
    const digest: Digest = `sha256:${hex}`;
    const mediaType = isDigest(digest) ? manifestType(content.path(digest)) : undefined;
    const size = mediaType === undefined ? undefined : content.sizeOf(digest);
    if (mediaType !== undefined && size !== undefined) yield { descriptor: { mediaType, digest, size } };
  }
}

/** @param withPlatforms an index has the IDs of its platforms, which are among the manifests themselves otherwise */
async function idsOf(store: Store, root: Descriptor, withPlatforms: boolean): Promise<Digest[]> {
  if (isIndexType(root.mediaType) && !withPlatforms) return [root.digest];
  try {
    const images = await platformImages(store, root);
    return [root.digest, ...images.map(({ manifest }) => manifest.config.digest)];
  } catch {
    // One that is damaged is not the one that is asked for; who asks for it by its name is told.
    return [root.digest];
  }
}

export function imageNotFound(store: Store, name: string): BuildError {
  const names = store.images.list().map((image) => familiarReference(parseReference(image.name)));
  const listed = names.slice(0, 10).join(', ');
  return new BuildError('IMAGE_NOT_FOUND', `image "${name}" is not in the local store`, {
    hint:
      names.length === 0
        ? IMAGE_ID.test(name)
          ? 'the store has no image with a name'
          : `the store is empty; build it with tsbuild . -t ${name}, or tsbuild pull ${name}`
        : `the store has ${listed}`,
  });
}

/** The platforms that are in the store. */
export async function platformImages(store: Store, root: Descriptor): Promise<PlatformImage[]> {
  if (!isIndexType(root.mediaType)) return [await platformImage(store, root)];
  const index = parseIndex(await store.content.readBytes(root.digest), root.digest);
  const present = index.manifests.filter((manifest) => store.content.has(manifest.digest));
  return Promise.all(present.map((manifest) => platformImage(store, manifest)));
}

async function platformImage(store: Store, descriptor: Descriptor): Promise<PlatformImage> {
  const { digest } = descriptor;
  const manifest = parseManifest(await store.content.readBytes(digest), digest);
  const config = parseImageConfig(await store.content.readBytes(manifest.config.digest), digest);
  return { descriptor, manifest, config };
}

/** That of this machine's platform, or the first. @throws IMAGE_NOT_FOUND */
export async function ownPlatformImage(store: Store, root: Descriptor, name: string): Promise<PlatformImage> {
  const images = await platformImages(store, root);
  const own = selectPlatform(hostPlatform(), images, ({ config }) => config) ?? images[0];
  if (!own)
    throw new BuildError('IMAGE_NOT_FOUND', `no platform of image "${name}" is in the local store`, {
      hint: `tsbuild pull ${name}`,
    });
  return own;
}

/** The layers, with the registry that the image's name says as the place to fetch them from. */
export function layersIn(store: Store, root: Descriptor, image: PlatformImage): Layer[] {
  const name = store.images.list().find((stored) => stored.descriptor.digest === root.digest)?.name;
  const reference = name === undefined ? undefined : parseReference(name);
  return layersOfManifest(
    image.manifest,
    image.config,
    reference && `docker-image://${reference.domain}/${reference.repository}`,
  );
}
