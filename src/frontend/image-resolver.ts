import type { Digest } from '../oci/digest.js';
import type { ImageConfig } from '../oci/image-config.js';
import type { Platform } from '../oci/platform.js';

/** The port through which the frontend learns what a FROM image is; build.ts fills it. */
export interface ImageResolver {
  /**
   * @param name as in FROM after expansion: `alpine`, `localhost:5000/x:1@sha256:…`, `oci-layout:///dir:tag`
   * @param platform the wanted platform; `undefined` accepts what the image has, the machine's first
   * @throws IMAGE_NOT_FOUND, REFERENCE_INVALID, PLATFORM_INVALID, REGISTRY_*
   */
  resolveImage(
    name: string,
    platform: Platform,
    options: { strict: boolean; signal: AbortSignal },
  ): Promise<ResolvedImage>;
}

export interface ResolvedImage {
  /** For SourceOp: pinned by digest. */
  readonly identifier: string;
  /** Full name for display: `docker.io/library/alpine:latest`. */
  readonly displayName: string;
  /** Of the platform's manifest. */
  readonly digest: Digest;
  /** Of what the name stands for: an index, where the image has several platforms. */
  readonly rootDigest: Digest;
  readonly platform: Platform;
  readonly config: ImageConfig;
}
