import type { Compression, Descriptor } from '../oci/descriptor.js';
import type { Digest } from '../oci/digest.js';
import type { Platform } from '../oci/platform.js';

/** One `--output`. `dest` `-` is `stdout`. */
export interface OutputSpec {
  readonly type: 'image' | 'docker' | 'oci' | 'local' | 'tar' | 'registry' | 'cacheonly';
  readonly dest?: string;
  /** Names beside the tags of the build. */
  readonly names?: readonly string[];
  readonly compression?: Compression;
  /** Recompress layers of the base image too. */
  readonly forceCompression?: boolean;
  /** `type=oci,tar=false`: a directory. */
  readonly tar?: boolean;
  /** `type=image,push=true`. */
  readonly push?: boolean;
  readonly ociMediaTypes?: boolean;
  /** In place of the build's SOURCE_DATE_EPOCH, seconds. */
  readonly sourceDateEpochSec?: number;
  /** Files of this build's layers are not younger than SOURCE_DATE_EPOCH; default: true where there is one. */
  readonly rewriteTimestamp?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface BuiltPlatform {
  readonly platform: Platform;
  readonly manifest?: Descriptor;
  /** Config digest: Docker's image ID. */
  readonly imageId?: Digest;
}
