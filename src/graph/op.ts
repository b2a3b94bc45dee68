import type { Platform } from '../oci/platform.js';

/** What a vertex does: plain data, in canonical JSON part of the vertex digest. */
export type Op = SourceOp | ExecOp | FileOp;

/**
 * Files from outside the build. Identifiers:
 * - `docker-image://docker.io/library/alpine:3.20@sha256:…`: always pinned by the digest of the platform's manifest;
 * - `oci-layout:///absolute/dir@sha256:…`: the same from a layout on disk;
 * - `local://context`: a directory of the caller, looked up by that name in the build's contexts. `ignorePatterns` are
 *   .dockerignore lines, already parsed;
 * - `http://…`, `https://…`: one file, with the attributes `filename` and `checksum` (a digest);
 * - `git+URL`: a checkout, with the attributes `ref`, `subdirectory`, `checksum` (a commit or the start of one),
 *   `keepGitDirectory`, `submodules`, `mtime`, `fetchByCommit`;
 * - `blob://DIGEST`: a file of the content store, with the attribute `filename`.
 */
export interface SourceOp {
  readonly kind: 'source';
  readonly identifier: string;
  readonly platform?: Platform;
  readonly ignorePatterns?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
}

/** A source that only says where its files are: finding it takes nothing, so that there is nothing to lock or to cache. */
export function isListedSource(op: Op): boolean {
  return isLocalSource(op) || isImageSource(op);
}

/** A directory of the caller. */
export function isLocalSource(op: Op): op is SourceOp {
  return op.kind === 'source' && op.identifier.startsWith('local://');
}

export function isImageSource(op: Op): op is SourceOp {
  return op.kind === 'source' && /^(docker-image|oci-layout):/.test(op.identifier);
}

/** Runs a process on a root file system; output 0 is the root file system after it, one layer more than `root`. */
export interface ExecOp {
  readonly kind: 'exec';
  /** Index of the vertex input that is the root file system; -1 is scratch. */
  readonly root: number;
  readonly args: readonly string[];
  /** `K=V`, in order. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** As USER says it: name or uid, perhaps with `:group`; empty is root. */
  readonly user: string;
  readonly hostname?: string;
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly mounts: readonly ExecMount[];
  /** Size of /dev/shm; 64 MiB without it. */
  readonly shmSizeBytes?: number;
  /** `name=soft:hard` */
  readonly ulimits?: readonly string[];
  readonly platform: Platform;
}

/** A mount beside the root; its content never becomes part of the layer. Targets are absolute. */
export type ExecMount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

/** A path of another input; what a process writes there is thrown away. */
export interface BindMount {
  readonly type: 'bind';
  readonly input: number;
  /** Absolute path inside the input. */
  readonly source: string;
  readonly target: string;
  readonly readonly: boolean;
}

/** A directory of the store that outlives the build. Neither its id nor its content is part of a cache key. */
export interface CacheMount {
  readonly type: 'cache';
  readonly id: string;
  readonly target: string;
  readonly readonly: boolean;
  /** `shared` by all at once, `locked` to one after the other, `private`: another directory while one is in use. */
  readonly sharing: 'shared' | 'locked' | 'private';
  /** Where a new directory's first content comes from. */
  readonly input?: number;
  readonly source?: string;
  /** Of a directory that is made. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface TmpfsMount {
  readonly type: 'tmpfs';
  readonly target: string;
  readonly readonly?: boolean;
  readonly sizeBytes?: number;
}

/** A secret as a file, a variable, or both; its content is in no key and no layer. */
export interface SecretMount {
  readonly type: 'secret';
  readonly id: string;
  readonly target?: string;
  /** Name of the variable. */
  readonly env?: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** The socket of an ssh agent; the first one's path is in SSH_AUTH_SOCK. What it signs is in no key. */
export interface SshMount {
  readonly type: 'ssh';
  readonly id: string;
  readonly target: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * Changes files without a process: all actions in order on top of `base`; output 0 is `base` with exactly one layer more
 * (possibly an empty one).
 */
export interface FileOp {
  readonly kind: 'file';
  /** Index of the vertex input that is changed; -1 is scratch. */
  readonly base: number;
  readonly actions: readonly FileAction[];
  /** `--link`: the layer is made as on scratch, whatever `base` holds; names of owners are not known. */
  readonly isIndependent?: boolean;
  readonly platform?: Platform;
}

export type FileAction = CopyAction | MakeDirectoryAction | MakeFileAction;

/** Owner as written in `--chown` or USER: names are looked up in the passwd and group files of `base`. */
export interface Owner {
  readonly user: string;
  readonly group?: string;
}

/** COPY or ADD of one source pattern (SEMANTICS: COPY and ADD). */
export interface CopyAction {
  readonly kind: 'copy';
  /** Index of the vertex input to read from. */
  readonly input: number;
  /** Path or wildcard pattern, absolute inside the input (`/src/*.go`), cleaned. A trailing `/` or `/.` is kept in `sourceIsDirectory`. */
  readonly source: string;
  /** Absolute destination, cleaned; `destinationIsDirectory` when the Dockerfile's word ended in `/` or there are several sources. */
  readonly destination: string;
  readonly destinationIsDirectory: boolean;
  /** The word ended in `/.`, which is the same place and another key of BuildKit. */
  readonly endsInDot?: boolean;
  readonly allowWildcard: boolean;
  /** ADD of a local archive: unpack what is recognized as one. */
  readonly unpack: boolean;
  readonly owner?: Owner;
  /** Octal permission bits (0 to 0o7777), or a symbolic mode such as `u=rwX,go=rX`. */
  readonly mode?: number | string;
  readonly excludePatterns?: readonly string[];
  /** `--parents`: keep the source's parent directories below the destination. */
  readonly parents?: boolean;
  /** Time for what this action creates itself (new directories), seconds since the epoch. */
  readonly timestampSec?: number;
}

/** WORKDIR: `mkdir -p` with mode 0755 for what is missing; existing directories stay untouched. */
export interface MakeDirectoryAction {
  readonly kind: 'mkdir';
  readonly path: string;
  readonly mode: number;
  readonly owner?: Owner;
  readonly timestampSec?: number;
}

/** A heredoc file of COPY or ADD, or the script of a RUN heredoc. */
export interface MakeFileAction {
  readonly kind: 'mkfile';
  readonly path: string;
  readonly mode: number;
  readonly data: string;
  readonly owner?: Owner;
  readonly timestampSec?: number;
}
