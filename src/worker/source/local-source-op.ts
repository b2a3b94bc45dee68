import type { ResolvedOp } from '../../graph/contract.js';
import type { SourceOp } from '../../graph/op.js';
import { digestOfJson } from '../../oci/digest.js';

/** `local://name`: the files themselves are read by the ops that copy from it, so there is nothing to do here. */
export function createLocalSourceOp(op: SourceOp): ResolvedOp {
  const name = op.identifier.slice('local://'.length);
  return {
    lane: 'disk',
    cacheMap: async () => ({ digest: digestOfJson(['local', name]), deps: [] }),
    exec: async () => [{ kind: 'local', name }],
  };
}
