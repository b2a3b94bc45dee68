import type { ResolvedOp } from '../../graph/contract.js';
import type { SourceOp } from '../../graph/op.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { digestOfJson } from '../../oci/digest.js';
import { formatPlatform } from '../../oci/platform.js';
import type { ImageSource } from './image-source.js';

/** The algorithm and twelve digits. */
const SHOWN_DIGEST = 'sha256:'.length + 12;

/** An image pinned by its digest. Its layers are listed, not downloaded: whoever needs their bytes fetches them. */
export function createImageSourceOp(op: SourceOp, source: ImageSource): ResolvedOp {
  const at = op.identifier.lastIndexOf('@');
  const digest = op.identifier.slice(at + 1);
  // The place is in the key because the result says where its layers can be fetched; steps above hit by content.
  const place = op.identifier.slice(0, at);
  const platform = op.platform ? formatPlatform(op.platform) : '';
  return {
    lane: 'network',
    cacheMap: async () => ({
      digest: digestOfJson(['image', place, digest, platform]),
      deps: [],
      components: { 'base image': `=${digest.slice(0, SHOWN_DIGEST)}`, platform: `=${platform}` },
    }),
    exec: async () => [createSnapshotResult(await source.layersOf(op.identifier))],
  };
}
