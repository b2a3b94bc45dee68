import type { ResolvedOp } from '../../graph/contract.js';
import type { SourceOp } from '../../graph/op.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { digestOfJson } from '../../oci/digest.js';
import { formatPlatform } from '../../oci/platform.js';
import type { ImageSource } from './image-source.js';

/** An image pinned by its digest. Its layers are listed, not downloaded: whoever needs their bytes fetches them. */
export function createImageSourceOp(op: SourceOp, source: ImageSource): ResolvedOp {
  const digest = op.identifier.slice(op.identifier.lastIndexOf('@') + 1);
  const platform = op.platform ? formatPlatform(op.platform) : '';
  return {
    lane: 'network',
    cacheMap: async () => ({
      digest: digestOfJson(['image', digest, platform]),
      deps: [],
      components: { image: digest, platform },
    }),
    exec: async () => [createSnapshotResult(await source.layersOf(op.identifier))],
  };
}
