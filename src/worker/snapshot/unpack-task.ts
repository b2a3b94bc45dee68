import type { Compression } from '../../oci/descriptor.js';
import type { Digest } from '../../oci/digest.js';

/** What a thread needs to unpack a layer. It answers with a boolean: whether all of it was done. */
export interface UnpackTask {
  /** The packed layer, open for reading; it may still grow. */
  readonly fd: number;
  /** An Int32 with the phase, and at byte 8 a BigInt64 with the size so far. */
  readonly shared: SharedArrayBuffer;
  /** What the packed bytes are checked against; undefined where whoever writes them does it. */
  readonly packedDigest: Digest | undefined;
  /** Whether nobody is known to read it after that. */
  readonly isReadOnce: boolean;
  readonly compression: Compression;
  readonly diffId: Digest;
  /** An empty directory. */
  readonly target: string;
  readonly indexPath: string;
}

export const UNPACK_PHASE = { growing: 0, whole: 1, abandoned: 2 } as const;

export const UNPACK_SHARED_BYTES = 16;

export function unpackState(shared: SharedArrayBuffer): {
  readonly phase: Int32Array<SharedArrayBuffer>;
  readonly size: BigInt64Array<SharedArrayBuffer>;
} {
  return { phase: new Int32Array(shared, 0, 1), size: new BigInt64Array(shared, 8, 1) };
}
