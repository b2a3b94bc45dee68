import type { StoredImage } from './cache/image-store.js';
import { BuildError } from './errors.js';
import { type Descriptor, isIndexType } from './oci/descriptor.js';
import { type Digest, digestHex } from './oci/digest.js';
import type { ImageConfig } from './oci/image-config.js';
import { parseImageConfig, parseIndex, parseManifest } from './oci/image-documents.js';
import type { Manifest } from './oci/manifest.js';
import { familiarReference, formatReference, parseReference } from './oci/reference.js';
import type { Store } from './store.js';

/** One platform of an image. */
export interface PlatformImage {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/** What a name or an ID stands for in the local store. */
export interface FoundImage {
  readonly root: Descriptor;
  /** Its name; one of them, where it was found by its ID. */
  readonly fullName: string;
  readonly isById: boolean;
}

/** The digits of an image ID, which may be cut to twelve, in what may be a name as well. */
export const IMAGE_ID = /^(?:sha256:)?([0-9a-f]{12,64})$/;
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
  const [found, ...others] = digits === undefined ? [] : await imagesById(store, digits);
  if (!found) throw imageNotFound(store, name);
  if (others.some(({ descriptor }) => descriptor.digest !== found.descriptor.digest))
    throw new BuildError('USAGE', `several images have IDs that begin with "${digits}"`, {
      hint: 'give more of its digits, or its name',
    });
  return { root: found.descriptor, fullName: found.name, isById: true };
}

async function imagesById(store: Store, digits: string): Promise<StoredImage[]> {
  const images = store.images.list();
  const ids = await Promise.all(images.map(({ descriptor }) => idsOf(store, descriptor)));
  return images.filter((_, i) => ids[i]!.some((id) => digestHex(id).startsWith(digits)));
}

async function idsOf(store: Store, root: Descriptor): Promise<Digest[]> {
  try {
    const images = await platformImages(store, root);
    return [root.digest, ...images.map(({ manifest }) => manifest.config.digest)];
  } catch {
    // One that is damaged is not the one that is asked for; who asks for it by its name is told.
    return [root.digest];
  }
}

function imageNotFound(store: Store, name: string): BuildError {
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
