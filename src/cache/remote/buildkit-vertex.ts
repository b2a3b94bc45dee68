import type { Definition, Vertex } from '../../graph/definition.js';
import { isImageSource, type SourceOp } from '../../graph/op.js';
import { type Digest, digestOf } from '../../oci/digest.js';
import { execNode } from './buildkit-exec.js';
import { fileNode } from './buildkit-file.js';
import { type BuildkitNode, platformMembers, recordDigest } from './buildkit-node.js';
import { goJson } from './go-json.js';

/** @param diffIdsOf asked for the layers of an image */
export async function buildkitNode(
  vertex: Vertex,
  definition: Definition,
  diffIdsOf: (vertex: Vertex) => Promise<readonly Digest[]>,
): Promise<BuildkitNode> {
  const { op } = vertex;
  if (op.kind === 'exec') return execNode(op, vertex, definition);
  if (op.kind === 'file') return fileNode(op, vertex, definition);
  if (!isImageSource(op)) return [];
  return imageDigests(op, vertex, await diffIdsOf(vertex)).map((digest) => ({ digest, inputs: [] }));
}

/** An image is known by its manifest or index, and by the files that its layers give. */
function imageDigests(op: SourceOp, { options }: Vertex, diffIds: readonly Digest[]): Digest[] {
  const own = op.identifier.slice(op.identifier.lastIndexOf('@') + 1) as Digest;
  const pinned = [...new Set([options.imageDigest ?? own, own])];
  const keys = pinned.map((digest) => digestOf(goJson({ Digest: digest, ...platformMembers(op.platform) })));
  if (diffIds.length > 0) keys.push(diffIds.reduce((chain, diffId) => digestOf(`${chain} ${diffId}`)));
  return keys.map((key) => recordDigest(digestOf(`buildkit.source.v0:${key}`), 0));
}
