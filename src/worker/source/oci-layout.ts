import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import { readSmallFile } from '../../cache/small-file.js';
import { type Descriptor, MEDIA_TYPES } from '../../oci/descriptor.js';
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../../oci/digest.js';
import { checkDocumentSize, parseIndex } from '../../oci/image-documents.js';
import { parseJson } from '../../oci/json.js';
import { LIMITS } from '../../oci/limits.js';

/** An OCI image layout on disk, named `oci-layout://DIR[:TAG][@DIGEST]`. */
export interface LayoutReference {
  readonly directory: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** @throws REFERENCE_INVALID */
export function parseLayoutReference(text: string): LayoutReference {
  const match = /^oci-layout:\/\/(.+?)(?::([\w][\w.-]{0,127}))?(?:@(.+))?$/.exec(text);
  const digest = match?.[3];
  if (!match || (digest !== undefined && !isDigest(digest))) {
    throw new BuildError('REFERENCE_INVALID', `"${text}" is not a valid name of an OCI layout`, {
      hint: 'write oci-layout://DIR, oci-layout://DIR:TAG or oci-layout://DIR@DIGEST',
    });
  }
  return {
    directory: match[1]!,
    ...(match[2] === undefined ? {} : { tag: match[2] }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The image that the reference names: by digest, by tag, or the only one. @throws IMAGE_NOT_FOUND */
export function findInLayout({ directory, tag, digest }: LayoutReference): Descriptor {
  const bytes = readSmallFile(join(directory, 'index.json'), { limitBytes: LIMITS.manifestBytes });
  if (!bytes) {
    // A store without a named image has no index yet, and blobs all the same.
    const blob = digest && layoutBlob(directory, digest);
    if (blob) return blob;
    throw new BuildError(
      'IMAGE_NOT_FOUND',
      `"${directory}" is not an OCI image layout: it has no file index.json`,
      {
        hint: 'give the directory that holds "index.json" and "blobs"',
      },
    );
  }
  const index = parseIndex(bytes, directory);
  const tags = index.manifests.flatMap(
    (manifest) => manifest.annotations?.['org.opencontainers.image.ref.name'] ?? [],
  );
  const found = digest
    ? (index.manifests.find((manifest) => manifest.digest === digest) ?? layoutBlob(directory, digest))
    : tag
      ? index.manifests.find((manifest) =>
          [tag].includes(manifest.annotations?.['org.opencontainers.image.ref.name'] ?? ''),
        )
      : (index.manifests.find(
          (manifest) => manifest.annotations?.['org.opencontainers.image.ref.name'] === 'latest',
        ) ?? (index.manifests.length === 1 ? index.manifests[0] : undefined));
  if (found) return found;
  throw new BuildError(
    'IMAGE_NOT_FOUND',
    `the OCI layout "${directory}" has no ${digest ?? (tag ? `tag "${tag}"` : 'single image')}`,
    {
      hint: tags.length > 0 ? `its tags are ${tags.join(', ')}` : 'name the image by its digest',
    },
  );
}

/** A manifest that the index does not list may still be named by its digest. */
function layoutBlob(directory: string, digest: Digest): Descriptor | undefined {
  const limitBytes = LIMITS.manifestBytes;
  const bytes = readSmallFile(layoutBlobPath(directory, digest), { limitBytes });
  if (!bytes) return undefined;
  const { mediaType } = (parseJson(bytes, `blob ${digest}`) ?? {}) as { mediaType?: unknown };
  const isNamed = typeof mediaType === 'string' && mediaType !== '';
  return { mediaType: isNamed ? mediaType : MEDIA_TYPES.ociManifest, digest, size: bytes.length };
}

/** A manifest or config, whole. @throws IMAGE_NOT_FOUND */
export async function readLayoutDocument(directory: string, descriptor: Descriptor): Promise<Buffer> {
  checkDocumentSize(descriptor, directory);
  const limitBytes = descriptor.size;
  const bytes = readSmallFile(layoutBlobPath(directory, descriptor.digest), { limitBytes });
  if (bytes) return bytes;
  throw new BuildError(
    'IMAGE_NOT_FOUND',
    `the OCI layout "${directory}" lacks the blob ${descriptor.digest}`,
  );
}

export function layoutBlobPath(directory: string, digest: Digest): string {
  return join(directory, 'blobs', digestAlgorithm(digest), digestHex(digest));
}

export function readLayoutBlob(directory: string, digest: Digest): AsyncIterable<Uint8Array> {
  return createReadStream(layoutBlobPath(directory, digest), {
    highWaterMark: 1 << 20,
  }) as AsyncIterable<Uint8Array>;
}
