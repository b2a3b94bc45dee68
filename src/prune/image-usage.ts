import type { ContentStore } from '../cache/content-store.js';
import { imageBlobs } from '../cache/image-blobs.js';
import type { ImageStore } from '../cache/image-store.js';
import { type Digest } from '../oci/digest.js';

/** What an image's blobs take in the store. */
export interface ImageUsage {
  readonly name: string;
  readonly bytes: number;
  /** The part that another image needs too. */
  readonly sharedBytes: number;
}

/** Sizes of blobs; of an image that was never pulled as a whole only what is there. */
export function imageUsage(content: ContentStore, images: ImageStore): ImageUsage[] {
  const blobsOf = images.list().map(({ name, descriptor }) => {
    const digests = new Set(imageBlobs(content, descriptor).map((blob) => blob.descriptor.digest));
    return { name, root: descriptor.digest, digests };
  });
  const users = new Map<Digest, Set<Digest>>();
  for (const { root, digests } of blobsOf)
    for (const digest of digests) users.set(digest, (users.get(digest) ?? new Set()).add(root));
  return blobsOf.map(({ name, digests }) => {
    const sizeOf = (digest: Digest) => content.sizeOf(digest) ?? 0;
    const isShared = (digest: Digest) => users.get(digest)!.size > 1;
    const sum = (some: readonly Digest[]) => some.reduce((total, digest) => total + sizeOf(digest), 0);
    return { name, bytes: sum([...digests]), sharedBytes: sum([...digests].filter(isShared)) };
  });
}
