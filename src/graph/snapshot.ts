import { type Digest, digestOf } from '../oci/digest.js';
import type { Layer, SnapshotResult } from './contract.js';

const SCRATCH_ID = digestOf('tsbuild scratch');

/** The content identity of a stack of layers, base first; an empty stack is scratch. */
export function contentIdOf(layers: readonly Layer[]): Digest {
  return layers.reduce((parent, layer) => digestOf(`${parent}\n${layer.contentDigest}`), SCRATCH_ID);
}

export function createSnapshotResult(layers: readonly Layer[]): SnapshotResult {
  return { kind: 'snapshot', layers, contentId: contentIdOf(layers) };
}
