import type { Writable } from 'node:stream';
import type { EarlyLoad } from './early-load.js';
import type { ContentStore } from '../cache/content-store.js';
import type { ImageStore } from '../cache/image-store.js';
import type { LockAcquirer, TransferListener } from '../graph/contract.js';
import type { RegistryClient } from '../oci/registry/client.js';
import type { LayerStore } from '../worker/snapshot/layer-store.js';

/** What exporters work with. */
export interface ExportDependencies {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly images: ImageStore;
  readonly registry: () => Promise<RegistryClient>;
  /** Full names from the command line. */
  readonly names: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly sourceDateEpochSec?: number;
  /** An index, and a directory for each platform, even where there is only one. */
  readonly isMultiPlatform: boolean;
  /** The directory that knows which archives were written. */
  readonly memory: string;
  /** Where `dest=-` goes; by default the process's own, which is not made before it is needed. */
  readonly stdout: Writable | undefined;
  /** Where a load may have been begun. */
  readonly earlyLoad?: EarlyLoad;
  readonly signal: AbortSignal;
  readonly lock: LockAcquirer;
  readonly onProgress: TransferListener;
  readonly onNote: (message: string) => void;
  readonly onWarning: (message: string) => void;
}
