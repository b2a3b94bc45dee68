import { chmodSync, lstatSync, lutimesSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ContentStore } from '../../cache/content-store.js';
import { BuildError } from '../../errors.js';
import type { SourceInspector } from '../../frontend/convert/source-date-epoch.js';
import type { Layer, ResolvedOp, TransferListener } from '../../graph/contract.js';
import type { SourceOp } from '../../graph/op.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import { type Digest, digestOfJson, isDigest } from '../../oci/digest.js';
import type { LayerStore } from '../snapshot/layer-store.js';
import type { FileContent } from '../snapshot/layer-writer.js';
import { newestInArchive, readArchivedFile } from './archive-file.js';
import type { GitSource } from './git-source.js';
import type { FetchedFile, HttpSource } from './http-source.js';

export interface RemoteSourcesOptions {
  readonly http: HttpSource;
  readonly git: GitSource;
  readonly content: ContentStore;
}

/** What comes from URLs, repositories and standard input: for ops, and for those who need a file before anything is built. */
export class RemoteSources implements SourceInspector {
  readonly #options: RemoteSourcesOptions;

  constructor(options: RemoteSourcesOptions) {
    this.#options = options;
  }

  /** Whether the op is one of these. */
  static handles(op: SourceOp): boolean {
    return /^(https?:\/\/|git\+|blob:\/\/)/.test(op.identifier);
  }

  async modifiedSec(op: SourceOp, signal: AbortSignal): Promise<number | undefined> {
    if (isGit(op)) return this.#options.git.commitSec(op, signal);
    const file = await this.file(op, signal);
    return file.modifiedSec ?? newestInArchive(this.#contentOf(file));
  }

  /** The one file that the op gives. */
  async file(op: SourceOp, signal: AbortSignal, onProgress?: TransferListener): Promise<FetchedFile> {
    if (!op.identifier.startsWith('blob://')) return this.#options.http.fetch(op, signal, onProgress);
    const digest = op.identifier.slice('blob://'.length);
    const size = isDigest(digest) ? this.#options.content.sizeOf(digest) : undefined;
    if (size === undefined) throw new BuildError('STORE_DAMAGED', `blob ${digest} is not in the store`);
    return { digest: digest as Digest, size };
  }

  async content(op: SourceOp, signal: AbortSignal): Promise<FileContent> {
    return this.#contentOf(await this.file(op, signal));
  }

  /** A file of a repository or of an archive; undefined where it has none. */
  async readFile(op: SourceOp, path: string, signal: AbortSignal): Promise<Buffer | undefined> {
    if (isGit(op)) return this.#options.git.readFile(op, path, signal);
    return readArchivedFile(await this.content(op, signal), path);
  }

  #contentOf({ digest, size }: FetchedFile): FileContent {
    return { path: this.#options.content.path(digest), length: size };
  }

  resolveOp(op: SourceOp, layers: LayerStore, workDirectory: () => string): ResolvedOp {
    return isGit(op) ? this.#gitOp(op, layers, workDirectory) : this.#fileOp(op, layers);
  }

  #fileOp(op: SourceOp, layers: LayerStore): ResolvedOp {
    const filename = op.attributes?.['filename'] ?? 'file';
    return {
      lane: 'network',
      cacheMap: async (job) => {
        const { digest, modifiedSec = 0 } = await this.file(op, job.signal, (row) => job.transfer(row));
        return {
          digest: digestOfJson(['file', filename, digest, modifiedSec]),
          deps: [],
          components: { file: `=${digest}` },
        };
      },
      exec: async (job) => {
        const file = await this.file(op, job.signal, (row) => job.transfer(row));
        const writer = layers.createWriter(job.signal);
        let layer: Layer;
        try {
          const { digest, size, modifiedSec: mtimeSec = 0 } = file;
          const entry = {
            path: filename,
            type: 'file',
            mode: 0o600,
            uid: 0,
            gid: 0,
            size,
            mtimeSec,
            digest,
          } as const;
          await writer.add(entry, this.#contentOf(file));
          layer = writer.finish(new Date().toISOString());
        } catch (error) {
          writer.abort();
          throw error;
        }
        return [createSnapshotResult([layer])];
      },
    };
  }

  #gitOp(op: SourceOp, layers: LayerStore, workDirectory: () => string): ResolvedOp {
    const { git } = this.#options;
    const { subdirectory = '', keepGitDirectory = '', submodules = '', mtime = '' } = op.attributes ?? {};
    return {
      lane: 'network',
      cacheMap: async (job) => {
        const { commit } = await git.resolve(op, job.signal);
        return {
          digest: digestOfJson(['git', commit, subdirectory, keepGitDirectory, submodules, mtime]),
          deps: [],
          components: { commit: `=${commit}` },
        };
      },
      exec: async (job) => {
        const directory = mkdtempSync(join(workDirectory(), 'git-'));
        try {
          chmodSync(directory, 0o755);
          const tree = await git.checkout(op, directory, job.signal);
          if (mtime === 'commit') setTimes(tree, await git.commitSec(op, job.signal));
          const layer = await layers.commitDirectory(
            { upper: tree },
            [],
            new Date().toISOString(),
            job.signal,
          );
          return [createSnapshotResult([layer])];
        } finally {
          rmSync(directory, { recursive: true, force: true });
        }
      },
    };
  }
}

function setTimes(path: string, timeSec: number): void {
  if (lstatSync(path).isDirectory())
    for (const name of readdirSync(path)) setTimes(join(path, name), timeSec);
  lutimesSync(path, timeSec, timeSec);
}

function isGit(op: SourceOp): boolean {
  return op.identifier.startsWith('git+');
}
