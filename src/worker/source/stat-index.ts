import { rmSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from '../../cache/if-there.js';
import { readChecked, writeCheckedRows } from '../../cache/checked-file.js';
import { type Digest, digestHex, digestOf } from '../../oci/digest.js';

interface Known {
  /** The scan's own, so that nothing is held twice. */
  readonly stat: FileTimes;
  readonly digest: Digest;
}

/** What of a file's stat tells that it is the same. */
type FileTimes = Pick<Stats, 'size' | 'mtimeMs' | 'ctimeMs' | 'ino'>;

/** A second write within the clock's tick shows in no time stamp: such files are read again next time. */
const RACY_MS = 2000;

/**
 * Remembers digests of a directory's files from run to run. A file is taken as unchanged when size, mtime, ctime and inode
 * are equal; one whose times are younger than the scan's start less two seconds is not remembered.
 */
export class StatIndex {
  readonly #path: string;
  readonly #startedMs = Date.now();
  readonly #new = new Map<string, Known>();
  #old: Map<string, Known> | undefined;

  /** @param directory the context's absolute path, which names the file in `statRoot` */
  constructor(statRoot: string, directory: string) {
    this.#path = indexPath(statRoot, directory);
  }

  /** The digest of an unchanged file. */
  find(path: string, stat: FileTimes): Digest | undefined {
    this.#old ??= load(this.#path);
    const known = this.#new.get(path) ?? this.#old.get(path);
    if (
      !known ||
      known.stat.size !== stat.size ||
      known.stat.mtimeMs !== stat.mtimeMs ||
      known.stat.ctimeMs !== stat.ctimeMs ||
      known.stat.ino !== stat.ino
    ) {
      return undefined;
    }
    return known.digest;
  }

  /** Whether the last change lies so far back that any later one shows in the times. */
  isSettled(stat: FileTimes): boolean {
    return Math.max(stat.mtimeMs, stat.ctimeMs) <= this.#startedMs - RACY_MS;
  }

  remember(path: string, stat: FileTimes, digest: Digest): void {
    if (!this.isSettled(stat)) return;
    this.#new.set(path, { stat, digest });
  }

  /** Writes the index when something was added. A store that cannot be written costs time, not the build. */
  save(): void {
    if (this.#new.size === 0) return;
    const all = this.#old ?? load(this.#path);
    for (const [path, known] of this.#new) all.set(path, known);
    try {
      writeCheckedRows(this.#path, rowsOf(all));
    } catch {
      return;
    }
    this.#old = all;
    this.#new.clear();
  }
}

/** Forgets what is known of a directory, since a file turned out to be another one than its times and size said. */
export function forgetStatIndex(statRoot: string, directory: string): void {
  const prefix = statFilePrefix(directory);
  for (const name of namesIn(statRoot))
    if (name.startsWith(prefix)) rmSync(join(statRoot, name), { force: true });
}

function indexPath(statRoot: string, directory: string): string {
  return join(statRoot, digestHex(digestOf(directory)));
}

/** A file beside the index of a directory, which is forgotten with it. */
export function statFilePath(statRoot: string, directory: string, key: Digest): string {
  const prefix = statFilePrefix(directory);
  return join(statRoot, `${prefix}${digestHex(key).slice(prefix.length)}`);
}

function statFilePrefix(directory: string): string {
  return digestHex(digestOf(directory)).slice(0, 32);
}

function* rowsOf(all: ReadonlyMap<string, Known>): Generator<readonly (string | number)[]> {
  for (const [path, { stat, digest }] of all)
    yield [path, stat.size, stat.mtimeMs, stat.ctimeMs, stat.ino, digestHex(digest)];
}

function load(path: string): Map<string, Known> {
  const body = readChecked(path);
  if (body === undefined) return new Map();
  const rows = JSON.parse(body) as [string, number, number, number, number, string][];
  return new Map(
    rows.map(([path, size, mtimeMs, ctimeMs, ino, hex]) => [
      path,
      { stat: { size, mtimeMs, ctimeMs, ino }, digest: `sha256:${hex}` },
    ]),
  );
}
