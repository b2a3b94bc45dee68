import { readSync, openSync, closeSync } from 'node:fs';
import { BuildError } from '../../errors.js';
import { limitHint, LIMITS } from '../../oci/limits.js';
import type { LayerEntry } from '../snapshot/layer-index.js';
import type { FileContent } from '../snapshot/layer-writer.js';
import { baseName, comparePaths, parentPath } from '../snapshot/path-order.js';
import { resolveLinks } from '../snapshot/resolve-links.js';
import type { LayeredTree } from '../source/layered-tree.js';
import type { SourceTree } from '../source/source-tree.js';
import type { Ids } from './owner.js';

/** An entry of the layer to come. */
export interface PlannedEntry {
  readonly entry: LayerEntry;
  readonly content?: FileContent | Uint8Array;
  /** In place of `content`, which is asked for when it is needed: one object less for each of many files. */
  readonly source?: SourceTree;
  readonly sourcePath?: string;
  /** Equal for names of one file: the first becomes the file, the others hard links. */
  readonly inode?: string;
}

/** How new directories are made. */
export interface DirectoryAttributes {
  readonly mode: number;
  readonly ids: Ids;
  readonly mtimeSec: number;
}

/**
 * The file system while actions change it: the base's listing with the planned entries on top. Paths are relative and clean.
 * What lies above a planned path comes along with the base's own attributes.
 */
export class WorkTree {
  readonly #base: LayeredTree | undefined;
  readonly #planned = new Map<string, PlannedEntry>();
  /** Directories of the base that were replaced: what they held is gone. */
  readonly #replaced = new Set<string>();
  #visited = 0;
  #marked = 0;

  constructor(base: LayeredTree | undefined) {
    this.#base = base;
  }

  /** There is nothing below what is planned. */
  get isScratch(): boolean {
    return this.#base === undefined;
  }

  lookup(path: string): LayerEntry | undefined {
    const planned = this.#planned.get(path);
    if (planned) return planned.entry;
    if (path === '')
      return (
        this.#base?.lookup('') ?? {
          path: '',
          type: 'directory',
          mode: 0o755,
          uid: 0,
          gid: 0,
          size: 0,
          mtimeSec: 0,
        }
      );
    for (let dir = parentPath(path); ; dir = parentPath(dir)) {
      if (this.#replaced.has(dir)) return undefined;
      if (dir === '') break;
    }
    return this.#base?.lookup(path);
  }

  /** As LayeredTree's, with what is planned; links stay below `root`. @throws FILE_OPERATION_FAILED for a loop of links */
  resolve(path: string, followLast: boolean, root = ''): string {
    return resolveLinks(path, { followLast, root, readLink: (at) => this.lookup(at)?.linkName });
  }

  /** Makes `path` and what is missing above it; existing directories stay. @throws FILE_OPERATION_FAILED at a file */
  makeDirectories(path: string, attributes: DirectoryAttributes): void {
    const existing = this.lookup(path);
    if (existing?.type === 'directory') return;
    if (existing) throw notDirectory(path, existing.linkName);
    if (path !== '') this.makeDirectories(parentPath(path), attributes);
    const { mode, ids, mtimeSec } = attributes;
    this.put({ entry: { path, type: 'directory', mode, ...ids, size: 0, mtimeSec } });
  }

  /** Gives a directory the time of the directory whose contents were copied into it. */
  touchDirectory(path: string, mtimeSec: number): void {
    const entry = this.lookup(path);
    if (entry && path !== '') this.put({ entry: { ...withoutContent(entry), mtimeSec } });
  }

  /** Plans an entry in place of what is there; its directory must exist. */
  put(planned: PlannedEntry): void {
    const { path, type } = planned.entry;
    if (type !== 'directory' && this.lookup(path)?.type === 'directory') this.#drop(path);
    this.#planned.set(path, planned);
    this.#inheritParents(path);
  }

  #drop(path: string): void {
    this.#replaced.add(path);
    this.#visited += this.#planned.size;
    if (this.#visited > LIMITS.tarReplacedEntries)
      throw new BuildError('TAR_INVALID', 'the archive replaces its directories again and again', {
        hint: limitHint('tarReplacedEntries'),
      });
    for (const known of this.#planned.keys()) if (known.startsWith(`${path}/`)) this.#planned.delete(known);
  }

  #inheritParents(path: string): void {
    for (let dir = parentPath(path); dir !== '' && !this.#planned.has(dir); dir = parentPath(dir)) {
      const entry = this.#base?.lookup(dir);
      if (entry) this.#planned.set(dir, { entry: withoutContent(entry) });
    }
  }

  /** Where a planned or existing file's bytes are, for hard links onto it. */
  plannedFile(path: string): PlannedEntry | undefined {
    const planned = this.#planned.get(path);
    if (planned) return planned;
    const entry = this.lookup(path);
    if (entry?.type !== 'file') return undefined;
    const { offset: _offset, ...rest } = entry;
    return { entry: rest, content: this.#base!.content(path) };
  }

  /** Gives a planned file a mark of its inode, which no file has that was at that path before. */
  markInode(path: string): void {
    const planned = this.plannedFile(path);
    if (planned && !planned.inode) this.put({ ...planned, inode: `link ${++this.#marked}` });
  }

  /** Text of a small file; empty when there is none. */
  readText(path: string): string {
    const resolved = this.resolve(path, true);
    const file = this.plannedFile(resolved);
    const content = file && contentOf(file);
    if (!content || file.entry.type !== 'file') return '';
    if (content.length > LIMITS.imageFileBytes)
      throw new BuildError('FILE_OPERATION_FAILED', `"/${resolved}" of the image is too long to be read`);
    return content instanceof Uint8Array ? Buffer.from(content).toString('utf8') : readRange(content);
  }

  /** What is planned, in the order of a layer, hard links made of equal inodes. Each is forgotten when it was given. */
  *takeEntries(): Generator<PlannedEntry> {
    const first = new Map<string, string>();
    for (const path of [...this.#planned.keys()].sort(comparePaths)) {
      const planned = this.#planned.get(path)!;
      this.#planned.delete(path);
      const { inode, entry } = planned;
      const target = inode === undefined ? undefined : first.get(inode);
      if (inode === undefined || entry.type !== 'file') yield planned;
      else if (target !== undefined)
        yield { entry: { ...withoutContent(entry), type: 'hardlink', size: 0, linkName: target } };
      else {
        first.set(inode, path);
        yield planned;
      }
    }
  }
}

/** Where the bytes of a planned file are, or they. */
export function contentOf({
  entry,
  content,
  source,
  sourcePath,
}: PlannedEntry): FileContent | Uint8Array | undefined {
  return content ?? source?.content(sourcePath!, entry);
}

function withoutContent(entry: LayerEntry): LayerEntry {
  const { digest: _digest, offset: _offset, opaque: _opaque, ...rest } = entry;
  return rest;
}

/** @param linkName target of the link that stands there */
export function notDirectory(path: string, linkName?: string): BuildError {
  if (linkName !== undefined) {
    return new BuildError(
      'FILE_OPERATION_FAILED',
      `cannot copy the directory to "/${path}", which is a link to "${linkName}"`,
      { hint: `copy its contents to the target of the link, or remove the link in an earlier RUN` },
    );
  }
  return new BuildError('FILE_OPERATION_FAILED', `"/${path}" exists and is no directory`, {
    hint: `choose another destination than "${baseName(path)}", or remove it in an earlier RUN`,
  });
}

function readRange(content: FileContent): string {
  const buffer = Buffer.alloc(content.length);
  const fd = openSync(content.path, 'r');
  try {
    let at = 0;
    while (at < buffer.length) {
      const read = readSync(fd, buffer, at, buffer.length - at, (content.offset ?? 0) + at);
      if (read === 0) break;
      at += read;
    }
    return buffer.toString('utf8', 0, at);
  } finally {
    closeSync(fd);
  }
}
