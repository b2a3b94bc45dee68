import { existsSync, readdirSync, rmSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { readChecked, writeChecked } from '../../cache/checked-file.js';
import { type Digest, digestHex, digestOf } from '../../oci/digest.js';

interface Known {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
  readonly hex: string;
}

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
  find(path: string, stat: Stats): Digest | undefined {
    this.#old ??= load(this.#path);
    const known = this.#new.get(path) ?? this.#old.get(path);
    if (
      !known ||
      known.size !== stat.size ||
      known.mtimeMs !== stat.mtimeMs ||
      known.ctimeMs !== stat.ctimeMs ||
      known.inode !== stat.ino
    ) {
      return undefined;
    }
    return `sha256:${known.hex}`;
  }

  /** Whether the last change lies so far back that any later one shows in the times. */
  isSettled(stat: Stats): boolean {
    return Math.max(stat.mtimeMs, stat.ctimeMs) <= this.#startedMs - RACY_MS;
  }

  remember(path: string, stat: Stats, digest: Digest): void {
    if (!this.isSettled(stat)) return;
    this.#new.set(path, {
      size: stat.size,
      mtimeMs: stat.mtimeMs,
      ctimeMs: stat.ctimeMs,
      inode: stat.ino,
      hex: digestHex(digest),
    });
  }

  /** Writes the index when something was added. A store that cannot be written costs time, not the build. */
  save(): void {
    if (this.#new.size === 0) return;
    const all = new Map([...(this.#old ?? load(this.#path)), ...this.#new]);
    const rows = [...all].map(([path, known]) => [
      path,
      known.size,
      known.mtimeMs,
      known.ctimeMs,
      known.inode,
      known.hex,
    ]);
    try {
      writeChecked(this.#path, JSON.stringify(rows));
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
  for (const name of existsSync(statRoot) ? readdirSync(statRoot) : [])
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

function load(path: string): Map<string, Known> {
  const body = readChecked(path);
  if (body === undefined) return new Map();
  const rows = JSON.parse(body) as [string, number, number, number, number, string][];
  return new Map(
    rows.map(([path, size, mtimeMs, ctimeMs, inode, hex]) => [path, { size, mtimeMs, ctimeMs, inode, hex }]),
  );
}
