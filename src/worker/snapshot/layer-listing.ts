import { BuildError } from '../../errors.js';
import { limitHint, LIMITS } from '../../oci/limits.js';
import type { LayerEntry, LayerIndex } from './layer-index.js';
import { comparePaths, parentPath } from './path-order.js';

/** One file under several names. */
interface LinkGroup {
  file: string;
  /** The other names, in the archive's order. */
  readonly links: Set<string>;
}

/**
 * A layer's listing while its tar is read: the later of two entries of one path wins, and what is no directory takes away what
 * an earlier directory of that path had in it. It says at every moment what unpacking has made: an entry that it keeps below
 * something else than a directory would let the archive reach out of its root.
 */
export class LayerListing {
  /** A hard link's `linkName` may be out of date here: its group knows the file. */
  readonly #entries = new Map<string, LayerEntry>();
  /** Directories above entries. */
  readonly #parents = new Set<string>();
  /** By the path of a file that has hard links, and by that of each of its links. */
  readonly #groups = new Map<string, LinkGroup>();
  #visited = 0;

  get(path: string): LayerEntry | undefined {
    const entry = this.#entries.get(path);
    return entry && this.#upToDate(entry);
  }

  /** @throws TAR_INVALID for a hard link to nothing, and for more replaced directories than an honest archive has */
  add(entry: LayerEntry): void {
    const { path } = entry;
    if (entry.type !== 'directory' && this.#parents.has(path)) this.#dropBelow(path);
    this.#forget(path);
    // After what had the name is gone, as unpacking does it: the link's target may have become the file only now.
    if (entry.type === 'hardlink') this.#join(entry);
    this.#entries.set(path, entry);
    for (let dir = parentPath(path); dir !== '' && !this.#parents.has(dir); dir = parentPath(dir))
      this.#parents.add(dir);
  }

  finish(): LayerIndex {
    return {
      entries: [...this.#entries.values()]
        .map((entry) => this.#upToDate(entry))
        .sort((a, b) => comparePaths(a.path, b.path)),
      impliedDirectories: [...this.#parents].filter((path) => !this.#entries.has(path)).sort(comparePaths),
    };
  }

  #upToDate(entry: LayerEntry): LayerEntry {
    return entry.type === 'hardlink' ? { ...entry, linkName: this.#groups.get(entry.path)!.file } : entry;
  }

  /** A link to a link is one to its file. */
  #join({ path, linkName }: LayerEntry): void {
    const target = this.#entries.get(linkName!);
    if (!target || target.type === 'directory' || target.type === 'whiteout') {
      throw new BuildError(
        'TAR_INVALID',
        `the archive's hard link "${path}" points to "${linkName}", which it does not hold`,
      );
    }
    const group = this.#groups.get(target.path) ?? { file: target.path, links: new Set() };
    group.links.add(path);
    this.#groups.set(target.path, group).set(path, group);
  }

  /** The first of the links to a file that goes becomes the file. */
  #forget(path: string): void {
    const known = this.#entries.get(path);
    if (!known) return;
    this.#entries.delete(path);
    const group = this.#groups.get(path);
    if (!group) return;
    this.#groups.delete(path);
    if (!group.links.delete(path)) {
      const [heir] = group.links;
      group.links.delete(heir!);
      group.file = heir!;
      this.#entries.set(heir!, { ...known, path: heir! });
    }
    if (group.links.size === 0) this.#groups.delete(group.file);
  }

  #dropBelow(path: string): void {
    this.#visited += this.#entries.size + this.#parents.size;
    if (this.#visited > LIMITS.tarReplacedEntries) {
      throw new BuildError('TAR_INVALID', 'the archive replaces its directories again and again', {
        hint: limitHint('tarReplacedEntries'),
      });
    }
    const isBelow = (other: string) => other.startsWith(`${path}/`);
    for (const other of [...this.#entries.keys()].filter(isBelow)) this.#forget(other);
    for (const other of [...this.#parents].filter(isBelow)) this.#parents.delete(other);
    this.#parents.delete(path);
  }
}
