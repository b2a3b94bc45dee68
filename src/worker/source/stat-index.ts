import { rmSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from '../../cache/if-there.js';
import { readChecked, writeCheckedRows } from '../../cache/checked-file.js';
import { type Digest, digestHex, digestOf, digestOfJson } from '../../oci/digest.js';

/** What of a file's stat tells that it is the same. */
type FileTimes = Pick<Stats, 'size' | 'mtimeMs' | 'ctimeMs' | 'ino'>;

/** Of what was learned it is the scan's own object, so that nothing is held twice. */
interface Known extends FileTimes {
  readonly digest: Digest;
}

/** A second write within the clock's tick shows in no time stamp: such files are read again next time. */
const RACY_MS = 2000;

/** What was known of files when the process began, undefined until it is asked for, and what was learned of them since. */
interface Part {
  old: Map<string, Known> | undefined;
  readonly new: Map<string, Known>;
}

/**
 * Remembers digests of a directory's files from run to run. A file is taken as unchanged when size, mtime, ctime and inode
 * are equal; one whose times are younger than the scan's start less two seconds is not remembered. There is one part for the files
 * of the directory itself and one for each directory in it, so that a changed source file costs nothing for the packages beside it.
 */
export class StatIndex {
  readonly #statRoot: string;
  readonly #directory: string;
  readonly #startedMs = Date.now();
  readonly #parts = new Map<string, Part>();

  /** @param directory the context's absolute path, which names the files in `statRoot` */
  constructor(statRoot: string, directory: string) {
    this.#statRoot = statRoot;
    this.#directory = directory;
  }

  /** The digest of an unchanged file. */
  find(path: string, stat: FileTimes): Digest | undefined {
    const name = partOf(path);
    const part = this.#part(name);
    part.old ??= load(this.#path(name));
    const known = part.new.get(path) ?? part.old.get(path);
    if (
      !known ||
      known.size !== stat.size ||
      known.mtimeMs !== stat.mtimeMs ||
      known.ctimeMs !== stat.ctimeMs ||
      known.ino !== stat.ino
    ) {
      return undefined;
    }
    return known.digest;
  }

  /** Whether there is a digest of that path, perhaps of something else that was there. */
  wasKnown(path: string): boolean {
    const part = this.#parts.get(partOf(path));
    return part !== undefined && (part.new.has(path) || part.old?.has(path) === true);
  }

  /** Whether the last change lies so far back that any later one shows in the times. */
  isSettled(stat: Pick<FileTimes, 'mtimeMs' | 'ctimeMs'>): boolean {
    return Math.max(stat.mtimeMs, stat.ctimeMs) <= this.#startedMs - RACY_MS;
  }

  /** @param known is held, and must not change */
  remember(path: string, known: Known): void {
    if (this.isSettled(known)) this.#part(partOf(path)).new.set(path, known);
  }

  /** Writes the parts to which something was added. A store that cannot be written costs time, not the build. */
  save(): void {
    for (const [name, part] of this.#parts) {
      if (part.new.size === 0) continue;
      const all = part.old ?? load(this.#path(name));
      for (const [path, known] of part.new) all.set(path, known);
      try {
        writeCheckedRows(this.#path(name), rowsOf(all));
      } catch {
        return;
      }
      part.old = all;
      part.new.clear();
    }
  }

  #part(name: string): Part {
    let part = this.#parts.get(name);
    if (!part) this.#parts.set(name, (part = { old: undefined, new: new Map() }));
    return part;
  }

  #path(part: string): string {
    return statFilePath(this.#statRoot, this.#directory, digestOfJson(['files', part]));
  }
}

/** The directory at the top that a path is in, '' for a file at the top. */
function partOf(path: string): string {
  return path.slice(0, Math.max(0, path.indexOf('/')));
}

/** Forgets what is known of a directory, since a file turned out to be another one than its times and size said. */
export function forgetStatIndex(statRoot: string, directory: string): void {
  const prefix = statFilePrefix(directory);
  for (const name of namesIn(statRoot))
    if (name.startsWith(prefix)) rmSync(join(statRoot, name), { force: true });
}

/** A file of what is known of a directory, for {@link forgetStatIndex}. */
export function statFilePath(statRoot: string, directory: string, key: Digest): string {
  const prefix = statFilePrefix(directory);
  return join(statRoot, `${prefix}${digestHex(key).slice(prefix.length)}`);
}

function statFilePrefix(directory: string): string {
  return digestHex(digestOf(directory)).slice(0, 32);
}

function* rowsOf(all: ReadonlyMap<string, Known>): Generator<readonly (string | number)[]> {
  for (const [path, { size, mtimeMs, ctimeMs, ino, digest }] of all)
    yield [path, size, mtimeMs, ctimeMs, ino, digestHex(digest)];
}

function load(path: string): Map<string, Known> {
  const body = readChecked(path);
  if (body === undefined) return new Map();
  const rows = JSON.parse(body) as [string, number, number, number, number, string][];
  return new Map(
    rows.map(([path, size, mtimeMs, ctimeMs, ino, hex]) => [
      path,
      { size, mtimeMs, ctimeMs, ino, digest: `sha256:${hex}` },
    ]),
  );
}
