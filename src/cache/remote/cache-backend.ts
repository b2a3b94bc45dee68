import type { Descriptor } from '../../oci/descriptor.js';

/**
 * A place outside of the store that keeps a cache: blobs by digest, and under its one name the *document* that says what
 * they are.
 *
 * Life cycle: `resolve` gives the document of the last `publish`; `get` the blobs that it names. An export puts every blob
 * that `has` does not know and publishes the document last, so that a document never names what is not there. A blob and a
 * document are there whole or not at all; putting what is there already changes nothing. Names and messages hold no
 * credentials.
 */
export interface CacheBackend {
  /** As messages name it: `registry 127.0.0.1:5000/app:cache`. */
  readonly place: string;
  /** The `Layer.origin` of its blobs. */
  readonly origin: string;
  /** An OCI manifest whose config is the cache's config, or that config itself with what is known of each layer inside. */
  readonly form: 'manifest' | 'config';
  /** The document, or undefined where there is none yet. */
  resolve(signal: AbortSignal): Promise<Buffer | undefined>;
  publish(document: CacheDocument, signal: AbortSignal): Promise<void>;
  has(blob: Descriptor, signal: AbortSignal): Promise<boolean>;
  /** The blob's bytes. The caller verifies. */
  get(blob: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** `open` is asked again for a second attempt. `origin` is where the blob can be had without it. */
  put(blob: Descriptor, open: () => AsyncIterable<Uint8Array>, options: PutOptions): Promise<void>;
}

export interface PutOptions {
  readonly signal: AbortSignal;
  readonly origin?: string | undefined;
}

export interface CacheDocument {
  readonly bytes: Buffer;
  readonly mediaType: string;
}
