import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import type { Descriptor } from '../../oci/descriptor.js';
import { type Digest, digestAlgorithm, digestHex, isDigest } from '../../oci/digest.js';
import type { ImageIndex } from '../../oci/manifest.js';

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
  let index: ImageIndex;
  try {
    index = JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as ImageIndex;
  } catch (error) {
    throw new BuildError(
      'IMAGE_NOT_FOUND',
      `"${directory}" is not an OCI image layout: ${(error as Error).message}`,
      { cause: error },
    );
  }
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
  try {
    const bytes = readFileSync(layoutBlobPath(directory, digest));
    const { mediaType = 'application/vnd.oci.image.manifest.v1+json' } = JSON.parse(
      bytes.toString('utf8'),
    ) as { mediaType?: string };
    return { mediaType, digest, size: bytes.length };
  } catch {
    return undefined;
  }
}

export function layoutBlobPath(directory: string, digest: Digest): string {
  return join(directory, 'blobs', digestAlgorithm(digest), digestHex(digest));
}

export function readLayoutBlob(directory: string, digest: Digest): AsyncIterable<Uint8Array> {
  return createReadStream(layoutBlobPath(directory, digest), {
    highWaterMark: 1 << 20,
  }) as AsyncIterable<Uint8Array>;
}
