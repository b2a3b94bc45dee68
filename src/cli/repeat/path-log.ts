import { FIELDS, type FileIdentity, isSameRow, writeRow } from '../../worker/sys/file-rows.js';
import type { PathTable } from '../../worker/sys/path-table.js';

/** Looks at paths in their order, each with the row of what was there. Adding one costs next to nothing. */
export class PathLog {
  #paths: string[] = [];
  #rows = new Float64Array(64 * FIELDS);

  get size(): number {
    return this.#paths.length;
  }

  clear(): void {
    this.#paths = [];
    this.#rows = new Float64Array(FIELDS);
  }

  add(path: string, stat: FileIdentity | undefined): void {
    const at = this.#next(path);
    writeRow(this.#rows, at, stat);
  }

  addRow(path: string, from: Float64Array, fromAt: number): void {
    const at = this.#next(path);
    this.#rows.set(from.subarray(fromAt, fromAt + FIELDS), at);
  }

  /**
   * Directories with the names and the rows of what was seen in them, those first in which something changed last: what changed
   * is likely to change again, and is then found at once. Undefined where a path was two different things.
   * @param known looks that are compared as well: what looked the same there is left out
   */
  grouped(known?: PathLog): PathTable | undefined {
    const places = this.#places();
    if (!places) return undefined;
    if (known)
      for (const [path, at] of known.#places() ?? [])
        if (places.has(path) && isSameRow(known.#rows, at, this.#rows, places.get(path)!))
          places.delete(path);
    const groups = new Map<string, { names: string[]; places: number[]; newestMs: number }>();
    for (const [path, at] of places) {
      const cut = path.lastIndexOf('/') + 1;
      const directory = cut === 0 ? './' : path.slice(0, cut);
      const group = groups.get(directory) ?? { names: [], places: [], newestMs: 0 };
      groups.set(directory, group);
      group.names.push(path.slice(cut));
      group.places.push(at);
      group.newestMs = Math.max(group.newestMs, this.#rows[at + 1]!);
    }
    const sorted = [...groups].sort(([, a], [, b]) => b.newestMs - a.newestMs);
    const rows = new Float64Array(places.size * FIELDS);
    let to = 0;
    for (const at of sorted.flatMap(([, group]) => group.places)) {
      rows.set(this.#rows.subarray(at, at + FIELDS), to);
      to += FIELDS;
    }
    return { names: sorted.flatMap(([directory, { names }]) => [directory, ...names]).join('\0'), rows };
  }

  #next(path: string): number {
    const at = this.#paths.push(path) * FIELDS - FIELDS;
    if (at === this.#rows.length) {
      const larger = new Float64Array(at * 2);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    return at;
  }

  #places(): Map<string, number> | undefined {
    const places = new Map<string, number>();
    for (const [i, path] of this.#paths.entries()) {
      const known = places.get(path);
      if (known === undefined) places.set(path, i * FIELDS);
      else if (!isSameRow(this.#rows, known, this.#rows, i * FIELDS)) return undefined;
    }
    return places;
  }
}
