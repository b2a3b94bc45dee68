import { constants, lstatSync, statfsSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { BuildError } from '../../errors.js';
import { type ParentMatch, PatternMatcher } from '../../graph/pattern-matcher.js';
import { type Digest, digestOfJson } from '../../oci/digest.js';
import { limitHint, LIMITS } from '../../oci/limits.js';
import { wholeSeconds } from '../../oci/tar/tar-entry.js';
import type { LayerEntry } from '../snapshot/layer-index.js';
import type { FileContent } from '../snapshot/layer-writer.js';
import { baseName, joinPath, parentPath } from '../snapshot/path-order.js';
import { resolveLinks } from '../snapshot/resolve-links.js';
import { listNames, readLinkTarget } from '../sys/directory-names.js';
import { digestFile } from './file-digest.js';
import { type SeenList, SelectionMemo } from './selection-memo.js';
import type { SourceTree } from './source-tree.js';
import { StatIndex } from './stat-index.js';

const BYTES_PER_TURN = 16 << 20;

const NOT_IGNORED: ParentMatch = { matched: false, byPattern: [] };

/** Magic numbers of statfs(2): ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, bcachefs. */
const LOCAL_FILE_SYSTEMS = new Set([
  0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010, 0xca451a4e,
]);

/** `git`: modes as git keeps them, the same under every umask. */
export type ContextMode = 'keep' | 'git';

export interface LocalContextOptions {
  /** Directory of stat indexes. */
  readonly statRoot: string;
  readonly mode?: ContextMode;
  /** Called for each file that is not what it was when its digest was last made. */
  readonly onChange?: () => void;
  /** Its abort ends the hashing of a large file. */
  readonly signal?: AbortSignal;
}

/** What is kept of a file's stat: Node's own object takes five times the memory, which counts for a million files. */
type FileStat = Pick<Stats, 'mode' | 'size' | 'mtimeMs' | 'ctimeMs' | 'ino' | 'dev' | 'nlink' | 'rdev'>;

/** What a path showed. One object with one string for each file, which others refer to: there may be a million. */
interface Scanned extends FileStat {
  readonly path: string;
  readonly ignored: ParentMatch;
  digest: Digest | undefined;
}

/** What is looked at while a selection is made. */
interface Recorder {
  readonly paths: Set<string>;
  readonly directories: Set<string>;
}

/**
 * A directory of the caller as a source. Only what is asked for is looked at; every path is looked at once, so that all
 * instructions of a build see the same state. Everything belongs to root; sockets are not there; extended attributes are
 * not read.
 */
export class LocalContext implements SourceTree {
  readonly directory: string;
  readonly place: string;
  readonly #matcher: PatternMatcher | undefined;
  readonly #mode: ContextMode;
  readonly #ignorePatterns: readonly string[];
  readonly #index: StatIndex;
  readonly #memo: SelectionMemo;
  readonly #onChange: (() => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  #recorder: Recorder | undefined;
  #making: Promise<unknown> = Promise.resolve();
  readonly #recalled = new Map<Digest, Digest>();
  readonly #selections = new Map<Digest, Promise<Digest>>();
  readonly #scanned = new Map<string, Scanned | undefined>();
  readonly #names = new Map<string, readonly string[]>();
  readonly #lists = new Map<string, readonly string[]>();
  readonly #hashing = new Map<string, Promise<Digest>>();
  #bytesThisTurn = 0;
  #isLocal: boolean | undefined;

  constructor(
    directory: string,
    ignorePatterns: readonly string[],
    { statRoot, mode = 'keep', onChange, signal }: LocalContextOptions,
  ) {
    this.#onChange = onChange;
    this.#signal = signal;
    this.#mode = mode;
    this.directory = directory;
    this.place = `the build context "${directory}"`;
    this.#matcher = ignorePatterns.length === 0 ? undefined : new PatternMatcher(ignorePatterns);
    this.#ignorePatterns = ignorePatterns;
    this.#index = new StatIndex(statRoot, directory);
    this.#memo = new SelectionMemo(statRoot, directory);
  }

  /**
   * The digest of a selection that `make` makes by asking this context. It is known without that where nothing changed that was
   * looked at for it.
   * @param what plain data that says what is selected
   */
  selection(what: unknown, make: () => Promise<Digest>): Promise<Digest> {
    const key = this.#selectionKey(what);
    let selection = this.#selections.get(key);
    if (!selection) this.#selections.set(key, (selection = this.#recallOrMake(key, make)));
    return selection;
  }

  async #recallOrMake(key: Digest, make: () => Promise<Digest>): Promise<Digest> {
    const known = await this.#memo.recall(key);
    if (known !== undefined) {
      this.#recalled.set(key, known);
      return known;
    }
    // One after the other, so that each is known by what was looked at for it alone.
    const made = this.#making.then(() => this.#recorded(key, make));
    this.#making = made.catch(() => undefined);
    return made;
  }

  /**
   * Before the files of a selection are used: what was recalled of it must still be so.
   * @throws CONTEXT_CHANGED
   */
  async confirm(what: unknown, make: () => Promise<Digest>): Promise<void> {
    const key = this.#selectionKey(what);
    const known = this.#recalled.get(key);
    if (known === undefined) return;
    if ((await make()) !== known) {
      throw new BuildError('CONTEXT_CHANGED', `${this.place} changed while it was read`, {
        hint: 'run the build again when nothing writes to it',
      });
    }
    this.#recalled.delete(key);
  }

  lookup(path: string): LayerEntry | undefined {
    const scanned = this.#scan(path);
    if (!scanned || !this.#isVisible(path, scanned)) return undefined;
    const entry = entryOf(scanned, () => this.#readlink(path));
    return this.#mode === 'git' ? { ...entry, mode: gitMode(entry) } : entry;
  }

  list(path: string): readonly string[] {
    this.#record(path);
    let names = this.#lists.get(path);
    if (!names) {
      names = this.#namesIn(path).filter((name) => {
        const child = joinPath(path, name);
        const scanned = this.#scan(child);
        return scanned !== undefined && this.#isVisible(child, scanned);
      });
      this.#lists.set(path, names);
    }
    return names;
  }

  /** Links are resolved inside the context, ignore patterns aside: BuildKit follows them before it filters. */
  resolve(path: string, followLast: boolean): string {
    const readLink = (at: string) =>
      isA(this.#scan(at), constants.S_IFLNK) ? this.#readlink(at) : undefined;
    return resolveLinks(path, { followLast, readLink });
  }

  digest(path: string): Digest | Promise<Digest> {
    const scanned = this.#scan(path)!;
    const known = scanned.digest ?? this.#index.find(path, scanned);
    if (known !== undefined) return known;
    let digest = this.#hashing.get(path);
    if (!digest) this.#hashing.set(path, (digest = this.#digestFile(scanned)));
    return digest;
  }

  content(path: string, entry: LayerEntry): FileContent {
    const scanned = this.#scanned.get(path)!;
    return {
      path: `${this.directory}/${path}`,
      length: entry.size,
      ...(this.#index.isSettled(scanned) ? { hashedAs: scanned } : {}),
    };
  }

  inode(path: string): string | undefined {
    const scanned = this.#scan(path);
    if (!scanned || scanned.nlink < 2) return undefined;
    if (Number.isSafeInteger(scanned.ino) && Number.isSafeInteger(scanned.dev))
      return `${scanned.dev} ${scanned.ino}`;
    // Overlays number what lies in their layers above all that a number of JavaScript tells apart.
    const exact = lstatSync(join(this.directory, path), { bigint: true, throwIfNoEntry: false });
    return exact && `${exact.dev} ${exact.ino}`;
  }

  hiddenBy(path: string): string | undefined {
    return this.#scan(path) ? this.#matcher?.matchingPattern(path) : undefined;
  }

  /** Keeps what was learned for the next build. */
  save(): void {
    this.#index.save();
  }

  async #digestFile(scanned: Scanned): Promise<Digest> {
    const { path, size } = scanned;
    if (this.#index.wasKnown(path)) this.#onChange?.();
    this.#bytesThisTurn += size;
    if (this.#bytesThisTurn > BYTES_PER_TURN) {
      this.#bytesThisTurn = 0;
      await yieldToEvents();
    }
    const digest = await this.#reading(path, () =>
      digestFile(join(this.directory, path), size, this.#signal),
    );
    this.#index.remember(path, Object.assign(scanned, { digest }));
    this.#hashing.delete(path);
    return digest;
  }

  async #reading<T>(path: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (this.#signal?.aborted) throw this.#signal.reason;
      throw notReadable(path, error);
    }
  }

  #selectionKey(what: unknown): Digest {
    return digestOfJson(['selection', what, this.#ignorePatterns, this.#mode]);
  }

  async #recorded(key: Digest, make: () => Promise<Digest>): Promise<Digest> {
    const recorder: Recorder = { paths: new Set(), directories: new Set() };
    this.#recorder = recorder;
    try {
      const digest = await make();
      this.#recorder = undefined;
      this.#keep(key, digest, recorder);
      return digest;
    } finally {
      this.#recorder = undefined;
    }
  }

  /** What a list depends on, also where it was made for another selection. */
  #record(directory: string): void {
    if (!this.#recorder || this.#recorder.directories.has(directory)) return;
    this.#recorder.directories.add(directory);
    for (const name of this.#namesIn(directory)) {
      const child = joinPath(directory, name);
      const scanned = this.#scan(child);
      if (scanned?.ignored.matched) this.#isVisible(child, scanned);
    }
  }

  /** A file that changed just now may change again without a trace, and a socket looks like nothing: no digest is kept then. */
  #keep(key: Digest, digest: Digest, { paths, directories }: Recorder): void {
    for (const path of paths) {
      const seen = this.#scan(path);
      if (seen && !seen.ignored.matched && !isA(seen, constants.S_IFDIR) && !this.#index.isSettled(seen))
        return;
    }
    for (const directory of directories)
      if (this.#namesIn(directory).some((name) => !this.#scan(joinPath(directory, name)))) return;
    const lists = new Map([...directories].map((path) => [path, this.#seenList(path)] as const));
    this.#memo.keep(key, digest, { paths, look: (path) => this.#seen(path), lists });
  }

  #seen(path: string): { stat: FileStat; hidden: boolean } | undefined {
    const stat = this.#scan(path);
    return stat && { stat, hidden: stat.ignored.matched };
  }

  #seenList(directory: string): SeenList {
    const stat = this.#scan(directory);
    const isSettled =
      stat && isA(stat, constants.S_IFDIR) && this.#index.isSettled(stat) && this.#showsNames(stat);
    return { names: this.#namesIn(directory).length, settled: isSettled ? stat : undefined };
  }

  /** Whether a directory's times tell that a name came or went: not on all file systems of programs and of the network. */
  #showsNames({ dev }: FileStat): boolean {
    this.#isLocal ??= LOCAL_FILE_SYSTEMS.has(statfsSync(this.directory).type);
    return this.#isLocal && dev === this.#scan('')?.dev;
  }

  #scan(path: string): Scanned | undefined {
    this.#recorder?.paths.add(path);
    if (this.#scanned.has(path)) return this.#scanned.get(path);
    const parent = path === '' ? undefined : this.#scan(parentPath(path));
    const scanned = path === '' || isA(parent, constants.S_IFDIR) ? this.#lstat(path, parent) : undefined;
    this.#scanned.set(path, scanned);
    if (this.#scanned.size > LIMITS.contextFiles) throw tooManyFiles();
    return scanned;
  }

  #lstat(path: string, parent: Scanned | undefined): Scanned | undefined {
    const ignored =
      path === ''
        ? undefined
        : this.#matcher?.matchesBelow(path, parentPath(path) === '' ? undefined : parent?.ignored);
    const state = ignored ?? NOT_IGNORED;
    let scanned: Scanned | undefined;
    try {
      scanned = scan(join(this.directory, path), path, state);
    } catch (error) {
      if (state.matched || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
      throw notReadable(path, error);
    }
    return isA(scanned, constants.S_IFSOCK) ? undefined : scanned;
  }

  /** An ignored directory still shows when something below it is taken back. */
  #isVisible(path: string, scanned: Scanned): boolean {
    if (!scanned.ignored.matched) return true;
    if (!isA(scanned, constants.S_IFDIR) || this.#matcher!.canSkipDirectory(path)) return false;
    return this.list(path).length > 0;
  }

  /** All names, ignored ones too. */
  #namesIn(path: string): readonly string[] {
    let names = this.#names.get(path);
    if (!names) this.#names.set(path, (names = this.#readdir(path)));
    return names;
  }

  #readdir(path: string): string[] {
    // Before its names, so that what is known of it is never newer than they are.
    this.#scan(path);
    try {
      return listNames(join(this.directory, path)).sort();
    } catch (error) {
      if (error instanceof BuildError) throw error;
      const scanned = this.#scan(path);
      if (scanned?.ignored.matched || (error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
      throw notReadable(path, error);
    }
  }

  #readlink(path: string): string {
    try {
      return readLinkTarget(join(this.directory, path));
    } catch (error) {
      throw error instanceof BuildError ? error : notReadable(path, error);
    }
  }
}

/** Git knows of a file whether its owner may execute it, and nothing else. */
function gitMode({ type, mode }: LayerEntry): number {
  if (type === 'symlink') return mode;
  return type === 'directory' || (mode & 0o100) !== 0 ? 0o755 : 0o644;
}

const TYPES = new Map<number, LayerEntry['type']>([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'directory'],
  [constants.S_IFLNK, 'symlink'],
  [constants.S_IFIFO, 'fifo'],
  [constants.S_IFCHR, 'char'],
]);

function isA(stat: FileStat | undefined, type: number): boolean {
  return stat !== undefined && (stat.mode & constants.S_IFMT) === type;
}

function scan(place: string, path: string, ignored: ParentMatch): Scanned | undefined {
  const stat = lstatSync(place, { throwIfNoEntry: false });
  if (!stat) return undefined;
  const { mode, size, mtimeMs, ctimeMs, ino, dev, nlink, rdev } = stat;
  return { path, mode, size, mtimeMs, ctimeMs, ino, dev, nlink, rdev, ignored, digest: undefined };
}

function entryOf(scanned: Scanned, readlink: () => string): LayerEntry {
  const type = TYPES.get(scanned.mode & constants.S_IFMT) ?? 'block';
  const isDevice = type === 'char' || type === 'block';
  return {
    path: scanned.path,
    type,
    mode: type === 'symlink' ? 0o777 : scanned.mode & 0o7777,
    uid: 0,
    gid: 0,
    size: type === 'file' ? scanned.size : 0,
    mtimeSec: wholeSeconds(scanned.mtimeMs / 1000),
    ...(type === 'symlink' ? { linkName: readlink() } : {}),
    ...(isDevice
      ? {
          deviceMajor: (scanned.rdev >> 8) & 0xfff,
          deviceMinor: (scanned.rdev & 0xff) | ((scanned.rdev >> 12) & 0xfff00),
        }
      : {}),
  };
}

function tooManyFiles(): BuildError {
  return new BuildError(
    'FILE_OPERATION_FAILED',
    `the build context has more than ${LIMITS.contextFiles} files`,
    { hint: `name in .dockerignore what the build does not need; ${limitHint('contextFiles')}` },
  );
}

/** What is said of a name that was there and is not any more, or is something else by now. */
const GONE = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ESTALE', 'ELOOP', 'EINVAL', 'ENXIO', 'ESPIPE']);

function notReadable(path: string, cause: unknown): BuildError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (GONE.has(code ?? '')) {
    return new BuildError('CONTEXT_CHANGED', `"${path}" of the build context vanished while it was read`, {
      cause,
      hint: 'run the build again when nothing writes to the context',
    });
  }
  const hint = `give yourself the right to read it, or add "${baseName(path)}" to .dockerignore`;
  return new BuildError(
    'FILE_OPERATION_FAILED',
    `"${path}" of the build context cannot be read: ${message}`,
    { cause, ...(code === 'EACCES' || code === 'EPERM' ? { hint } : {}) },
  );
}
