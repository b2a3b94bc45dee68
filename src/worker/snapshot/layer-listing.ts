import { BuildError } from '../../errors.js';
import { limitHint, LIMITS } from '../../oci/limits.js';
import type { LayerEntry, LayerIndex } from './layer-index.js';
import { comparePaths, parentPath } from './path-order.js';

/**
 * A layer's listing while its tar is read: the later of two entries of one path wins, and what is no directory takes away what
 * an earlier directory of that path had in it. It says at every moment what unpacking has made: an entry that it keeps below
 * something else than a directory would let the archive reach out of its root.
 */
export class LayerListing {
  readonly #entries = new Map<string, LayerEntry>();
  /** Directories above entries. */
  readonly #parents = new Set<string>();
  /** Hard links by the path of their file. */
  readonly #links = new Map<string, string[]>();
  #visited = 0;

  get(path: string): LayerEntry | undefined {
    return this.#entries.get(path);
  }

  /** @throws TAR_INVALID for a hard link to nothing, and for more replaced directories than an honest archive has */
  add(entry: LayerEntry): void {
    const { path } = entry;
    const listed = entry.type === 'hardlink' ? this.#linked(entry) : entry;
    if (entry.type !== 'directory' && this.#parents.has(path)) this.#dropBelow(path);
    this.#forget(path);
    this.#entries.set(path, listed);
    if (listed.type === 'hardlink')
      this.#links.set(listed.linkName!, [...(this.#links.get(listed.linkName!) ?? []), path]);
    for (let dir = parentPath(path); dir !== '' && !this.#parents.has(dir); dir = parentPath(dir))
      this.#parents.add(dir);
  }

  finish(): LayerIndex {
    return {
      entries: [...this.#entries.values()].sort((a, b) => comparePaths(a.path, b.path)),
      impliedDirectories: [...this.#parents].filter((path) => !this.#entries.has(path)).sort(comparePaths),
    };
  }

  /** A link to a link is one to its file. */
  #linked(entry: LayerEntry): LayerEntry {
    const target = this.#entries.get(entry.linkName!);
    if (!target || target.type === 'directory' || target.type === 'whiteout' || target.path === entry.path) {
      throw new BuildError(
        'TAR_INVALID',
        `the archive's hard link "${entry.path}" points to "${entry.linkName}", which it does not hold`,
      );
    }
    return target.type === 'hardlink' ? { ...entry, linkName: target.linkName! } : entry;
  }

  /** The first of the links to a file that goes becomes the file. */
  #forget(path: string): void {
    const known = this.#entries.get(path);
    this.#entries.delete(path);
    if (known?.type === 'hardlink') {
      const others = this.#links.get(known.linkName!)?.filter((link) => link !== path);
      if (others?.length) this.#links.set(known.linkName!, others);
      else this.#links.delete(known.linkName!);
    }
    const [heir, ...others] = this.#links.get(path) ?? [];
    if (!known || heir === undefined) return;
    this.#links.delete(path);
    this.#entries.set(heir, { ...known, path: heir });
    for (const other of others) this.#entries.set(other, { ...this.#entries.get(other)!, linkName: heir });
    if (others.length > 0) this.#links.set(heir, others);
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
