import { readdirSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { readChecked, writeCheckedRows } from '../../cache/checked-file.js';
import type { Digest } from '../../oci/digest.js';
import { FIELDS, type FileIdentity, isSameRow, rowReader, writeRow } from '../sys/file-rows.js';
import { statFilePath } from './stat-index.js';

/** Selections of fewer paths are quicker to make than to remember. */
const LEAST_PATHS = 256;
/** Looked at without a turn of the event loop. */
const PART_PATHS = 10_000;
const ROW_BYTES = FIELDS * Float64Array.BYTES_PER_ELEMENT;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

/** What was looked at to make a selection. */
export interface Seen {
  readonly paths: ReadonlySet<string>;
  /** What a path showed, undefined for one that was not there; `hidden` by the ignore patterns. */
  readonly look: (path: string) => { readonly stat: FileIdentity; readonly hidden: boolean } | undefined;
  /** Directories of which all names were asked for. */
  readonly lists: ReadonlyMap<string, SeenList>;
}

export interface SeenList {
  /** How many. */
  readonly names: number;
  /** What the directory was before its names were read, where any later change of them shows in it. */
  readonly settled: Pick<FileIdentity, 'ctimeMs' | 'ino'> | undefined;
}

interface Memo {
  readonly digest: Digest;
  readonly lists: readonly (readonly [directory: string, names: number, ctimeMs?: number, ino?: number])[];
  readonly parts: readonly Part[];
}

/** Paths joined by NUL, and `FIELDS` doubles for each, base64. */
type Part = readonly [paths: string, rows: string];

/**
 * Digests of big selections of a directory, each with the state of every path that was looked at for it. Where all of them are in
 * that state again the digest is known, for an lstat of each path and nothing else but the names in directories that changed.
 */
export class SelectionMemo {
  readonly #statRoot: string;
  readonly #directory: string;

  constructor(statRoot: string, directory: string) {
    this.#statRoot = statRoot;
    this.#directory = directory;
  }

  async recall(key: Digest): Promise<Digest | undefined> {
    const body = readChecked(this.#path(key));
    if (body === undefined) return undefined;
    const memo = JSON.parse(body) as Memo;
    try {
      return (await this.#isAsSeen(memo)) ? memo.digest : undefined;
    } catch {
      // Who reads the files says what is wrong with them.
      return undefined;
    }
  }

  /** Keeps a selection; a store that cannot be written costs time, not the build. */
  keep(key: Digest, digest: Digest, { paths, look, lists }: Seen): void {
    if (paths.size < LEAST_PATHS) return;
    const seenLists = [...lists].map(([directory, { names, settled }]) =>
      settled ? [directory, names, settled.ctimeMs, settled.ino] : [directory, names],
    );
    const head = `{"digest":${JSON.stringify(digest)},"lists":${JSON.stringify(seenLists)},"parts":`;
    try {
      writeCheckedRows(this.#path(key), partsOf(paths, look), [head, '}']);
    } catch {
      return;
    }
  }

  async #isAsSeen({ parts, lists }: Memo): Promise<boolean> {
    const now = new Float64Array(FIELDS);
    const count = parts.reduce((sum, [, packed]) => sum + (packed.length * 3) / 4 / ROW_BYTES, 0);
    const readRow = rowReader('link', Math.floor(count));
    const base = `${this.#directory}/`;
    for (const [directory, names, ctimeMs, ino] of lists) {
      readRow(now, 0, base + directory);
      if (now[INO] === ino && now[CTIME] === ctimeMs) continue;
      if (readdirSync(base + directory).length !== names) return false;
    }
    for (const [paths, packed] of parts) {
      const rows = new Float64Array(Uint8Array.from(Buffer.from(packed, 'base64')).buffer);
      let at = 0;
      for (const path of paths.split('\0')) {
        readRow(now, 0, base + path);
        if (now[MODE] !== 0) keepWhatCounts(now, 0, rows[at] === HIDDEN);
        if (!isSameRow(now, 0, rows, at)) return false;
        at += FIELDS;
      }
      await yieldToEvents();
    }
    return true;
  }

  #path(key: Digest): string {
    return statFilePath(this.#statRoot, this.#directory, key);
  }
}

/** In the place of the inode, which is never negative. */
const HIDDEN = -1;
/** Places in a row. */
const INO = 0;
const CTIME = 1;
const MODE = 4;

/** Of what is hidden only the type counts, of directories only the mode; their rows tell which they are. */
function keepWhatCounts(rows: Float64Array, at: number, isHidden: boolean): void {
  const mode = rows[at + MODE]!;
  if (!isHidden && (mode & S_IFMT) !== S_IFDIR) return;
  rows.fill(0, at, at + FIELDS);
  rows[at] = isHidden ? HIDDEN : 0;
  rows[at + MODE] = isHidden ? mode & S_IFMT : mode;
}

/** Of a million paths neither all rows nor their text are in memory at once. */
function* partsOf(paths: Iterable<string>, look: Seen['look']): Generator<Part> {
  let names: string[] = [];
  const rows = new Float64Array(PART_PATHS * FIELDS);
  const part = (): Part => [names.join('\0'), base64(rows.subarray(0, names.length * FIELDS))];
  for (const path of paths) {
    const at = names.length * FIELDS;
    const seen = look(path);
    writeRow(rows, at, seen?.stat);
    if (seen) keepWhatCounts(rows, at, seen.hidden);
    if (names.push(path) < PART_PATHS) continue;
    yield part();
    names = [];
  }
  if (names.length > 0) yield part();
}

const base64 = ({ buffer, byteLength }: Float64Array): string =>
  Buffer.from(buffer, 0, byteLength).toString('base64');
