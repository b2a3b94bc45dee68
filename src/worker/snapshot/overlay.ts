import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isSmallTree, removeTree } from '../../cache/leftovers.js';
import { BuildError, throwIfAborted } from '../../errors.js';
import type { Layer, TransferListener } from '../../graph/contract.js';
import { mountOverlay, unmount } from '../sys/mounts.js';
import { enterMountNamespace } from '../sys/namespaces.js';
import { sweepNetworks } from '../network/veth-network.js';
import { removeDirectory, WorkDirectory } from './work-directory.js';

/** Where the directories of layers come from: the layer store. */
export interface LayerDirectories {
  /** The directory of `layers[position]` in overlay upper form, unpacked when it is not there yet. */
  directory(
    layers: readonly Layer[],
    position: number,
    signal: AbortSignal,
    onProgress?: TransferListener,
  ): Promise<string>;
}

export interface MountOptions {
  readonly onProgress?: TransferListener;
  /** A directory in overlay upper form whose files are above those of the layers. */
  readonly above?: string;
  /**
   * Absolute paths of files, empty, that are there where the layers have the directory and nothing at that path. They are below all
   * layers, so that nothing is written for them.
   */
  readonly emptyFiles?: readonly string[];
  /** Of {@link OverlayRoots.createDirectories}; default: new ones. */
  readonly directories?: Pick<MountedRoot, 'directory' | 'memory'> | undefined;
}

/** A mounted root file system. Disposing unmounts it and removes what nobody took over. */
export interface MountedRoot extends AsyncDisposable {
  /** The run's own directory, for files that live as long as the mount. */
  readonly directory: string;
  /** The same in memory, for small files and for what may hold secrets, which must reach no disk. It is seen as the mount is. */
  readonly memory: string;
  /** The mount. Only synchronous file calls and child processes see it. */
  readonly path: string;
  /** All writes, in overlay upper form. Read it when no process writes any more; it may be renamed away after {@link unmount}. */
  readonly upper: string;
  unmount(): void;
  /**
   * Disposing need not remove what the run leaves, where no writes are among it any more: it goes beside what follows, at the latest
   * with {@link OverlayRoots.close}. So does the mount.
   */
  removeLater(): void;
}

/** Of a step after this one the process has been started by then. */
const LATER_MS = 5;

/**
 * Mounts stacks of layers. The first mount takes this process into a mount namespace of its own, so no mount outlives it.
 *
 * ```ts
 * await using root = await overlays.mount(layers, signal);
 * run(root.path);
 * await layers.commitDirectory(root, …);
 * root.removeLater();
 * ```
 */
export class OverlayRoots {
  readonly #work: string;
  readonly #layers: LayerDirectories;
  readonly #lowest = new Map<string, string>();
  #own: WorkDirectory | undefined;
  #swept: Promise<void> | undefined;
  #left: Left[] = [];
  #timer: NodeJS.Timeout | undefined;
  #removing: Promise<unknown> | undefined;

  /** @param work `work` of the state root, on the file system of the layers' directories */
  constructor(options: { work: string; layers: LayerDirectories }) {
    this.#work = options.work;
    this.#layers = options.layers;
  }

  /** A writable root over `layers`, base first. @throws MOUNT_FAILED, NOT_PERMITTED and what unpacking throws */
  async mount(
    layers: readonly Layer[],
    signal: AbortSignal,
    { onProgress, above, emptyFiles = [], directories }: MountOptions = {},
  ): Promise<MountedRoot> {
    throwIfAborted(signal);
    const made = await Promise.all(
      layers.map((_, i) => this.#layers.directory(layers, i, signal, onProgress)),
    );
    // The kernel refuses a directory twice; a layer that comes again above hides all of its first appearance.
    const lowers = [...(above === undefined ? [] : [above]), ...new Set(made.toReversed())];
    enterMountNamespace();
    if (directories === undefined) await this.#sweep();
    const { directory, memory } = directories ?? this.createDirectories();
    const path = makeDirectory(memory, 'root');
    const upper = makeDirectory(directory, 'upper');
    const work = makeDirectory(directory, 'work');
    if (lowers[0] !== undefined) copyOwnerAndMode(lowers[0], upper);
    const files = emptyFiles.filter((file) =>
      lowers.some((lower) => isDirectory(join(lower, dirname(file)))),
    );
    const below = files.length > 0 || lowers.length === 0 ? [this.#directoryOf(files)] : [];
    const mountOver = (all: readonly string[]) => mountOverlay({ lowers: all, upper, work, target: path });
    try {
      mountOver([...lowers, ...below]);
    } catch (error) {
      // One more than the kernel takes, or than the options of an older one have room for.
      if (files.length === 0 || !(error instanceof BuildError)) throw error;
      rmSync(join(work, 'work'), { recursive: true, force: true });
      mountOver(lowers);
    }
    return createMountedRoot({ directory, memory, path, upper }, (left) => this.#removeLater(left));
  }

  /** The lowest of a root. */
  #directoryOf(emptyFiles: readonly string[]): string {
    const key = emptyFiles.join(':');
    let directory = this.#lowest.get(key);
    if (directory === undefined) {
      directory = this.#workDirectory().createShared('lowest');
      for (const path of emptyFiles) {
        makeParents(directory, dirname(path));
        writeFileSync(join(directory, path), '');
        chmodSync(join(directory, path), 0o644);
      }
      this.#lowest.set(key, directory);
    }
    return directory;
  }

  #removeLater(left: Left): void {
    this.#left.push(left);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // What cannot be removed, `close` says.
      this.#removing = Promise.allSettled([this.#removing, ...this.#left.splice(0).map(remove)]);
    }, LATER_MS);
  }

  /** Ends this process's part of `work/`, with the mounts that are left; every root must have been disposed before. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#left = [];
    await this.#removing;
    this.#lowest.clear();
    await this.#own?.remove();
    this.#own = undefined;
  }

  /** A new directory in the scratch space of this process. */
  async createDirectory(): Promise<string> {
    await this.#sweep();
    return this.#workDirectory().create();
  }

  /** The directories of a root that is to be mounted. The process must be in a mount namespace of its own. */
  createDirectories(): Pick<MountedRoot, 'directory' | 'memory'> {
    return { directory: this.#workDirectory().create(), memory: this.#workDirectory().createInMemory() };
  }

  async #sweep(): Promise<void> {
    this.#swept ??= sweepNetworks();
    await this.#swept;
  }

  /** Scratch space of this process, on the file system of the layers; `close` removes it. */
  workDirectory(): string {
    return this.#workDirectory().path;
  }

  #workDirectory(): WorkDirectory {
    return (this.#own ??= new WorkDirectory(this.#work));
  }
}

/** What a run leaves. */
type Left = Pick<MountedRoot, 'directory' | 'memory' | 'unmount'>;

/** Node's own threads may not see what is in memory. */
async function remove({ directory, memory, unmount }: Left): Promise<void> {
  unmount();
  removeTree(memory);
  await removeDirectory(directory);
}

function createMountedRoot(
  paths: Pick<MountedRoot, 'directory' | 'memory' | 'path' | 'upper'>,
  removeLater: (left: Left) => void,
): MountedRoot {
  let mounted = true;
  let isLater = false;
  const root: MountedRoot = {
    ...paths,
    unmount: () => {
      if (mounted) unmount(paths.path);
      mounted = false;
    },
    removeLater: () => {
      isLater = true;
    },
    async [Symbol.asyncDispose]() {
      // Of a layer that is there already the writes were not taken, and they may be large.
      if (isLater && isSmallTree(paths.upper)) removeLater(root);
      else await remove(root);
    },
  };
  return root;
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function makeParents(directory: string, path: string): void {
  if (path === '/' || existsSync(join(directory, path))) return;
  makeParents(directory, dirname(path));
  makeDirectory(directory, path);
}

function makeDirectory(parent: string, name: string): string {
  const path = join(parent, name);
  mkdirSync(path);
  chmodSync(path, 0o755);
  return path;
}

/** The upper directory's own attributes are those of the root directory that a process sees. */
function copyOwnerAndMode(from: string, to: string): void {
  const { uid, gid, mode } = statSync(from);
  chownSync(to, uid, gid);
  chmodSync(to, mode & 0o7777);
}
