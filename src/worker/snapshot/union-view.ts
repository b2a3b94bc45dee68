import type { LayerEntry, LayerIndex } from './layer-index.js';
import { ListingBlocks } from './listing-blocks.js';
import { baseName, joinPath, parentPath } from './path-order.js';
import { resolveLinks } from './resolve-links.js';

/** What a path of the merged file system is, and the position of the layer it comes from (0 is the base). */
export interface ViewEntry {
  readonly entry: LayerEntry;
  readonly layer: number;
}

const ROOT: LayerEntry = { path: '', type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0, mtimeSec: 0 };

/** A layer's entries by path. Made on the first look and shared by all views of the layer. */
class LayerMaps {
  static readonly #known = new WeakMap<LayerIndex, LayerMaps>();
  readonly #index: LayerIndex;
  readonly #found = new Map<string, LayerEntry | undefined>();
  #entries: ReadonlyMap<string, LayerEntry> | undefined;
  #children: ReadonlyMap<string, readonly string[]> | undefined;

  static of(index: LayerIndex): LayerMaps {
    let maps = this.#known.get(index);
    if (!maps) this.#known.set(index, (maps = new LayerMaps(index)));
    return maps;
  }

  private constructor(index: LayerIndex) {
    this.#index = index;
  }

  get(path: string): LayerEntry | undefined {
    const index = this.#index;
    if (!(index instanceof ListingBlocks) || index.isRead) return this.#whole().get(path);
    let entry = this.#found.get(path);
    if (entry === undefined && !this.#found.has(path)) {
      entry = index.find(path);
      if (!entry && index.impliedDirectories.includes(path)) entry = { ...ROOT, path };
      this.#found.set(path, entry);
    }
    return entry;
  }

  /** Names in a directory; none of what is no directory. */
  children(path: string): readonly string[] {
    this.#children ??= childrenOf(this.#whole().keys());
    return this.#children.get(path) ?? [];
  }

  #whole(): ReadonlyMap<string, LayerEntry> {
    if (!this.#entries) {
      const entries = new Map<string, LayerEntry>();
      for (const path of this.#index.impliedDirectories) entries.set(path, { ...ROOT, path });
      for (const entry of this.#index.entries) entries.set(entry.path, entry);
      this.#entries = entries;
    }
    return this.#entries;
  }
}

function childrenOf(paths: Iterable<string>): ReadonlyMap<string, readonly string[]> {
  const children = new Map<string, string[]>();
  for (const path of paths) {
    if (path === '') continue;
    const parent = parentPath(path);
    const names = children.get(parent);
    if (names) names.push(baseName(path));
    else children.set(parent, [baseName(path)]);
  }
  return children;
}

/**
 * The merged file system of a stack of layers, base first, from their listings alone: no mount, no file is opened. Paths
 * are relative and clean, '' is the root.
 */
export class UnionView {
  readonly #layers: readonly LayerMaps[];

  constructor(indexes: readonly LayerIndex[]) {
    this.#layers = indexes.map((index) => LayerMaps.of(index));
  }

  /** The entry at `path`, links not followed; undefined where nothing is. */
  lookup(path: string): ViewEntry | undefined {
    return this.#lookupBelow(path, this.#layers.length);
  }

  /** As `lookup`, but a hard link gives the entry that has the bytes, under its own path. */
  lookupTarget(path: string): ViewEntry | undefined {
    const found = this.lookup(path);
    if (!found || found.layer < 0) return found;
    const layer = this.#layers[found.layer]!;
    const own = layer.get(path);
    return own?.type === 'hardlink' ? { entry: layer.get(own.linkName!) ?? own, layer: found.layer } : found;
  }

  #lookupBelow(path: string, top: number): ViewEntry | undefined {
    if (path === '') {
      for (let i = top - 1; i >= 0; i--) {
        const entry = this.#layers[i]!.get('');
        if (entry) return { entry, layer: i };
      }
      return { entry: ROOT, layer: -1 };
    }
    const floor = this.#floor(parentPath(path), top);
    for (let i = top - 1; i >= floor; i--) {
      const entry = this.#layers[i]!.get(path);
      if (!entry) continue;
      return entry.type === 'whiteout' ? undefined : this.#resolveHardlink(entry, i);
    }
    return undefined;
  }

  /** The lowest layer whose entries of directory `path` still show; `top` when it is no directory. */
  #floor(path: string, top: number): number {
    if (path === '') return 0;
    const parentFloor = this.#floor(parentPath(path), top);
    let seen = false;
    for (let i = top - 1; i >= parentFloor; i--) {
      const entry = this.#layers[i]!.get(path);
      if (!entry) continue;
      if (entry.type !== 'directory') return seen ? i + 1 : top;
      seen = true;
      if (entry.opaque) return i;
    }
    return seen ? parentFloor : top;
  }

  /** A hard link shows as the file that it is. */
  #resolveHardlink(entry: LayerEntry, layer: number): ViewEntry {
    if (entry.type !== 'hardlink') return { entry, layer };
    const target = this.#layers[layer]!.get(entry.linkName!);
    return { entry: target ? { ...target, path: entry.path } : entry, layer };
  }

  /** Names in a directory, sorted by code unit; none where `path` is no directory. */
  list(path: string): string[] {
    const top = this.#layers.length;
    const floor = this.#floor(path, top);
    const shown = new Map<string, boolean>();
    for (let i = top - 1; i >= floor; i--) {
      for (const name of this.#layers[i]!.children(path)) {
        if (!shown.has(name))
          shown.set(name, this.#layers[i]!.get(joinPath(path, name))!.type !== 'whiteout');
      }
    }
    return [...shown].flatMap(([name, isThere]) => (isThere ? [name] : [])).sort();
  }

  /**
   * `path` with all links of its directories resolved inside the root, and that of its last component too when
   * `followLast`. Components that do not exist are kept as written.
   * @throws FILE_OPERATION_FAILED for a loop of links
   */
  resolve(path: string, followLast: boolean): string {
    return resolveLinks(path, { followLast, readLink: (at) => this.lookup(at)?.entry.linkName });
  }

  /** Everything below `path` and itself, parents before children, sorted. */
  *walk(path: string): Generator<ViewEntry> {
    const found = this.lookup(path);
    if (!found) return;
    yield found;
    if (found.entry.type !== 'directory') return;
    for (const name of this.list(path)) yield* this.walk(joinPath(path, name));
  }
}
