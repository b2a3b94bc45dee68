import type { Descriptor } from '../oci/descriptor.js';
import type { Digest } from '../oci/digest.js';
import type { ImageConfig } from '../oci/image-config.js';
import type { Platform } from '../oci/platform.js';
import type { Compression } from '../oci/descriptor.js';
import type { Definition, Vertex } from './definition.js';

/**
 * The contract between solver, worker and exporter.
 *
 * Words: a **layer** is one change set, named by its diffID (sha256 of its uncompressed tar). A **result** is what a
 * vertex yields: a **snapshot** is an ordered list of layers, base first, with no parent pointers; a **local** is a
 * directory of the caller. The **content identity** of a snapshot is a digest over what its files are (path, type, mode,
 * owner, content, link target, device, xattrs; never times), so that two runs that wrote the same files are equal.
 */
export interface Layer {
  readonly diffId: Digest;
  /** Digest over the tree this layer holds, times left out; for a pulled layer its diffID. */
  readonly contentDigest: Digest;
  /** RFC 3339, when the layer was first made; kept from the cache. */
  readonly createdAt?: string;
  /** The blob as distributed, for layers of pulled or loaded images. */
  readonly blob?: Descriptor;
  /** Where the blob can be fetched from when it is not in the store: a source identifier. */
  readonly origin?: string;
  /** `blob` is a form in which a remote cache keeps a layer that a build made, not one that an image distributed. */
  readonly fromCache?: boolean;
}

export type Result = SnapshotResult | LocalResult;

export interface SnapshotResult {
  readonly kind: 'snapshot';
  readonly layers: readonly Layer[];
  readonly contentId: Digest;
}

export interface LocalResult {
  readonly kind: 'local';
  /** The name in the identifier `local://name`. */
  readonly name: string;
}

/** Where a vertex reports what it does while it runs. */
export interface JobContext {
  readonly vertex: Vertex;
  readonly signal: AbortSignal;
  /** The bytes are valid during the call; a promise asks to wait before there is more. */
  log(stream: 1 | 2, data: Uint8Array): void | Promise<void>;
  transfer(row: {
    id: string;
    action: string;
    currentBytes: number;
    totalBytes?: number;
    finished: boolean;
  }): void;
  note(message: string): void;
  /** Names the file that takes all of the output. */
  logFile(path: string): void;
}

/** An op bound to a worker. */
export interface ResolvedOp {
  /** The lane that `exec` occupies: processes, downloads, or files. */
  readonly lane: 'exec' | 'network' | 'disk';
  /**
   * Cheap; never runs an input, mounts nothing. Starts nothing and asks no network, but for URLs and repositories, which may
   * have changed. Called at most once a build.
   */
  cacheMap(job: JobContext): Promise<CacheMap>;
  /** Runs the op; `inputs[i]` belongs to `vertex.inputs[i]`. Not called on a cache hit. */
  exec(job: JobContext, inputs: readonly Result[]): Promise<readonly Result[]>;
}

export interface CacheMap {
  /** Digest of everything that decides the output but the inputs. */
  readonly digest: Digest;
  /** One for each input of the vertex, same order. */
  readonly deps: readonly CacheMapDep[];
  /** Named parts of `digest`, for explanations: `command`, `env.PATH`, `platform`. Short texts or digests, never secrets. */
  readonly components?: Readonly<Record<string, string>>;
  /** The same for what is not in the key and often thought to be, such as the id of a cache mount. */
  readonly asides?: Readonly<Record<string, string>>;
}

export interface CacheMapDep {
  /**
   * Known before anything runs (a scan of the local context): takes the place of the input's key in the definition key,
   * and the input is not demanded for a lookup.
   */
  readonly early?: Digest;
  /** The part of the input that is read, by content: takes the place of the input's content identity in the content key. */
  readonly contentDigest?: (input: Result, job: JobContext) => Promise<Digest>;
  /**
   * For explanations: what `early` or `contentDigest` covers, file by file. Reads listings that are at hand, and gives
   * undefined where one is not. `input` is not looked at for `early`.
   */
  readonly files?: (input: Result | undefined, job: JobContext) => Promise<FileListing | undefined>;
}

/** Files by path, as far as they take part in a key. */
export type FileListing = ReadonlyMap<string, FileFacts>;

/** What of a file takes part in a key; a field that does not is undefined. */
export interface FileFacts {
  readonly type: string;
  readonly mode?: number | undefined;
  /** `uid:gid` */
  readonly owner?: string | undefined;
  readonly digest?: string | undefined;
  readonly link?: string | undefined;
  readonly device?: string | undefined;
  readonly xattr?: string | undefined;
}

/** A part of what a step reads, in BuildKit's words: which of its content takes part in the key. */
export interface ContentSelector {
  /** Absolute; with `wildcard` a pattern. */
  readonly path: string;
  /** Links at the end of the path as well. */
  readonly followLinks?: boolean;
  readonly wildcard?: boolean;
  /** Patterns of an ignore file below the path: what is not taken. */
  readonly exclude?: readonly string[];
}

/** Binds a vertex to a worker. Pure and cheap. */
export type OpResolver = (vertex: Vertex, definition: Definition) => ResolvedOp;

/** Layers by name, for exporters: every form of a layer as a verified blob in the content store. */
export interface LayerBlobs {
  /**
   * Makes sure that the layer is in the content store in that form and returns its descriptor (OCI media type).
   * `keep` takes the blob as it was distributed where there is one. Fetches what was never downloaded.
   */
  ensureBlob(
    layer: Layer,
    form: Compression | 'keep',
    signal: AbortSignal,
    onProgress?: TransferListener,
  ): Promise<Descriptor>;
  /** The descriptor that `ensureBlob` gives, where it is known without reading the layer; the blob may lie elsewhere. */
  knownBlob(layer: Layer, form: Compression | 'keep'): Descriptor | undefined;
  /** The layer without files that are younger than that; the layer itself where it has none. */
  clampTimes(layer: Layer, latestSec: number, signal: AbortSignal): Promise<Layer>;
}

export type TransferListener = (row: {
  id: string;
  action: string;
  currentBytes: number;
  totalBytes?: number;
  finished: boolean;
}) => void;

/** One platform of a build, ready for exporters: layers in order and the config that lacks only rootfs and times. */
export interface BuiltImage {
  readonly platform: Platform;
  readonly layers: readonly Layer[];
  readonly config: ImageConfig;
  /** How many entries of `config.history` came from the base image; they keep their own times. */
  readonly baseHistoryLength: number;
}

/**
 * An advisory lock that the kernel frees when the process dies (flock on `locks/<name>`); it excludes holders in this process
 * as well. Which locks there are and in which order they are taken: docs/adr/0005-leases-and-locks.md.
 */
export type LockAcquirer = (name: string, options?: LockOptions) => Promise<HeldLock>;

export interface LockOptions {
  readonly shared?: boolean;
  /** Its reason ends the wait. */
  readonly signal?: AbortSignal;
  /** What is done under the lock, for those who wait for it. */
  readonly purpose?: string;
  /** Called at once when another holds it. */
  readonly onBusy?: () => void;
  /** Called once for each holder that is waited for, with what it told of itself. */
  readonly onWait?: (holder: LockHolder | undefined) => void;
  /** What is added to the holder's log, as long as it is waited for, to the end. */
  readonly onOutput?: (data: Uint8Array) => void;
}

export interface HeldLock extends Disposable {
  /** Whether another holder was met. */
  readonly waited: boolean;
  /** Names the file that takes the output of what is done under the lock, for those who wait to follow. */
  tellLog(path: string): void;
}

export interface LockHolder {
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly purpose: string;
  readonly logPath?: string;
}
