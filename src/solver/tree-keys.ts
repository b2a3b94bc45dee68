import type { CacheMap, JobContext, Result, SnapshotResult } from '../graph/contract.js';
import type { Vertex } from '../graph/definition.js';
import { createSnapshotResult } from '../graph/snapshot.js';
import type { Digest } from '../oci/digest.js';
import { contentKey } from './cache-keys.js';

/**
 * The same snapshot with the digest of its tree as every layer's content digest; layers of an image are known by their diffID
 * until then. Fetches and lists what was never looked at.
 */
export type TreeIdentifier = (result: SnapshotResult, job: JobContext) => Promise<SnapshotResult>;

/**
 * The content key with trees in place of diffIDs: equal for a base image that was packed again with other times. Asked
 * for only before a vertex would run, which needs the listings anyway. Undefined where it would be the content key itself.
 */
export async function treeKey(
  cacheMap: CacheMap,
  inputs: readonly Result[],
  contents: readonly Digest[],
  identify: (result: SnapshotResult) => Promise<SnapshotResult>,
): Promise<Digest | undefined> {
  const trees = await Promise.all(
    cacheMap.deps.map(async (dep, i) => {
      const input = inputs[i]!;
      if (dep.early !== undefined || dep.contentDigest !== undefined || input.kind !== 'snapshot')
        return contents[i]!;
      return (await identify(input)).contentId;
    }),
  );
  return trees.every((tree, i) => tree === contents[i]) ? undefined : contentKey(cacheMap, trees);
}

/** The one layer that the vertex adds, on the base that it has in this build. */
export function rebase(
  vertex: Vertex,
  inputs: readonly Result[],
  found: SnapshotResult,
): SnapshotResult | undefined {
  const { op } = vertex;
  const base = op.kind === 'exec' ? inputs[op.root] : op.kind === 'file' ? inputs[op.base] : undefined;
  const own = found.layers.at(-1);
  if (base?.kind !== 'snapshot' || !own || found.layers.length !== base.layers.length + 1) return undefined;
  return createSnapshotResult([...base.layers, own]);
}
