import type { Readable, Writable } from 'node:stream';
import type { ProgressListener, WarningEvent } from './progress.js';
import type { CacheSpec } from './cache/remote/cache-spec.js';
import type { BuiltPlatform, OutputSpec } from './exporter/output-spec.js';
import type { ResourceLimits } from './worker/cgroup/limits.js';
import type { SecretScanMode } from './secrets/leak-check.js';
import type { SecretOrigin } from './secrets/secret-vault.js';
import type { Descriptor } from './oci/descriptor.js';

/** What every command of the library takes. */
export interface StoreOptions {
  /** State root; default: `$TSBUILD_ROOT`, else the user's place. */
  readonly root?: string;
  /** Config file; default: `$TSBUILD_CONFIG`, else the XDG place, else /etc/tsbuild/config.yaml. */
  readonly configFile?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: ProgressListener;
}

export interface BuildOptions extends StoreOptions {
  /** Directory of the build context, a repository, a URL, or `-` for an archive or a Dockerfile on stdin. */
  readonly context: string;
  /** Path of the Dockerfile (relative to the working directory), `-` for stdin; default `<context>/Dockerfile`. */
  readonly file?: string;
  /** The Dockerfile's text, in place of `file`. */
  readonly dockerfileText?: string;
  readonly tags?: readonly string[];
  readonly target?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  readonly platforms?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Always ask the registry for FROM images. */
  readonly pull?: boolean;
  readonly noCache?: boolean;
  /** Stages that are built again. */
  readonly noCacheFilter?: readonly string[];
  /**
   * Modes of context files: `keep` what the disk has, or those that git keeps, which no umask changes: 0755 for directories
   * and what its owner may execute, 0644 for other files. Default: `keep`.
   */
  readonly contextMode?: 'keep' | 'git';
  /** An `explained` event for every step; without it for the first steps that are not cached. */
  readonly explain?: boolean;
  /** Remote caches that are asked for what the store lacks, in order. */
  readonly cacheFrom?: readonly CacheSpec[];
  /** Remote caches that the build's steps are written to. */
  readonly cacheTo?: readonly CacheSpec[];
  /** Default: `[{ type: 'image' }]`. */
  readonly outputs?: readonly OutputSpec[];
  readonly network?: 'default' | 'none' | 'host';
  /** `host:ip`. */
  readonly addHosts?: readonly string[];
  /** Secrets for `RUN --mount=type=secret`, by id: a file, or a variable of the environment. */
  readonly secrets?: Readonly<Record<string, SecretOrigin>>;
  /** When a secret's bytes are found in a new layer or the config; default: `error`. */
  readonly secretScan?: SecretScanMode;
  /** Agents for `RUN --mount=type=ssh` and git, by id: the path of a socket, or of files with keys. */
  readonly ssh?: Readonly<Record<string, { readonly paths: readonly string[] }>>;
  /** Contexts by name: a directory, `docker-image://NAME`, `oci-layout://DIR`, a repository, a URL. */
  readonly buildContexts?: Readonly<Record<string, string>>;
  /** What RUN may ask for: `network.host`, `security.insecure`. */
  readonly allow?: readonly string[];
  /** Size of /dev/shm of RUN. */
  readonly shmSizeBytes?: number;
  /** `nofile=1024:2048`, of RUN. */
  readonly ulimits?: readonly string[];
  /** Limits of each step of RUN, and of all of them together; in no cache key. */
  readonly resources?: { readonly step?: ResourceLimits; readonly build?: ResourceLimits };
  /** Builds twice, and throws NOT_REPRODUCIBLE with each file that differs; nothing is exported then. */
  readonly verifyReproducible?: boolean;
  /** Also asks tsbuild's own set of rules. */
  readonly checksExtra?: boolean;
  /** The store is pruned down to this at the end; default: `cache.maxSize` of the config file, else a fifth of the disk. */
  readonly keepStorageBytes?: number;
  /** Processes at once; default: the number of CPUs. */
  readonly jobs?: number;
  /** Of the whole build. What runs when it is over gets SIGTERM, and SIGKILL three seconds later; rejects with TIMED_OUT. */
  readonly timeoutMs?: number;
  /** Of the process of one RUN. */
  readonly stepTimeoutMs?: number;
  /** Of the process of one RUN without a byte of output. */
  readonly idleTimeoutMs?: number;
  /** Files and directories of a RUN that failed, and where they are copied to. */
  readonly onFailExports?: readonly { readonly path: string; readonly destination: string }[];
  /** After a failure, what does not depend on it still runs and is cached; rejects with StepFailures where several failed. */
  readonly keepGoing?: boolean;
  readonly stdin?: Readable;
  /** Where `dest: '-'` goes. */
  readonly stdout?: Writable;
  /** SOURCE_DATE_EPOCH, seconds; default: the build argument or the environment variable of that name. */
  readonly sourceDateEpochSec?: number;
}

export interface BuildResult {
  /** Manifest, or index for several platforms; undefined where no output made one. */
  readonly descriptor?: Descriptor;
  readonly platforms: readonly BuiltPlatform[];
  /** Full names given to the image. */
  readonly names: readonly string[];
  readonly warnings: readonly WarningEvent[];
  /** Counts for tests and summaries. */
  readonly stats: BuildStats;
}

export interface BuildStats {
  readonly vertices: number;
  readonly cached: number;
  readonly executed: number;
}
