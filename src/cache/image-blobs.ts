import { readFileSync, statSync } from 'node:fs';
import { type Descriptor, isIndexType, isManifestType } from '../oci/descriptor.js';
import type { ImageIndex, Manifest } from '../oci/manifest.js';
import type { ContentStore } from './content-store.js';

/** A blob that an image names. */
export interface ImageBlob {
  readonly descriptor: Descriptor;
  readonly role: 'root' | 'manifest' | 'config' | 'layer';
}

/**
 * All blobs that an image names, from the root down, also those that are not in the store: other platforms, and layers that
 * nothing needed so far. What cannot be read names nothing.
 */
export function imageBlobs(content: ContentStore, root: Descriptor): ImageBlob[] {
  const blobs: ImageBlob[] = [{ descriptor: root, role: 'root' }];
  const manifests = isIndexType(root.mediaType)
    ? (read<ImageIndex>(content, root)?.manifests ?? []).filter(({ mediaType }) => isManifestType(mediaType))
    : [root];
  for (const descriptor of manifests) {
    if (descriptor !== root) blobs.push({ descriptor, role: 'manifest' });
    const manifest = read<Manifest>(content, descriptor);
    if (!manifest) continue;
    if (manifest.config) blobs.push({ descriptor: manifest.config, role: 'config' });
    for (const layer of manifest.layers ?? []) blobs.push({ descriptor: layer, role: 'layer' });
  }
  return blobs;
}

function read<T>(content: ContentStore, { digest }: Descriptor): T | undefined {
  try {
    return JSON.parse(readFileSync(content.path(digest), 'utf8')) as T;
  } catch {
    return undefined;
  }
}

const LARGEST_MANIFEST = 4 << 20;

/** The media type of a manifest or index; undefined for other blobs. */
export function manifestType(path: string): string | undefined {
  try {
    if (statSync(path).size > LARGEST_MANIFEST) return undefined;
    const { mediaType } = JSON.parse(readFileSync(path, 'utf8')) as { mediaType?: unknown };
    const isOne = typeof mediaType === 'string' && (isIndexType(mediaType) || isManifestType(mediaType));
    return isOne ? mediaType : undefined;
  } catch {
    return undefined;
  }
}
