import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { replaceByParts } from '../../cache/checked-file.js';
import { quickChecksum } from '../../cache/quick-checksum.js';
import type { Digest } from '../../oci/digest.js';
import { FIELDS, type FileIdentity, isSameRow, rowReader, writeRow } from '../sys/file-rows.js';
import { isAsBefore, type PathTable, type RowCompare } from '../sys/path-table.js';
import { statFilePath } from './stat-index.js';

/** Selections of fewer paths are quicker to make than to remember. */
const LEAST_PATHS = 256;
/** More of them take longer than a turn of the event loop by far. */
const MANY_PATHS = 1_000;
/** Looked at without a turn of the event loop. */
const PART_PATHS = 10_000;
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

type ListRow = readonly [directory: string, names: number, ctimeMs?: number, ino?: number];

interface MemoHead {
  readonly digest: Digest;
  readonly lists: readonly ListRow[];
  /** How many paths. */
  readonly paths: number;
}

interface Memo extends MemoHead {
  /** Directories begin with a slash, which is the context's own. */
  readonly parts: Iterable<PathTable>;
}

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
    const memo = readMemo(this.#path(key));
    if (memo === undefined) return undefined;
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
    const seenLists = [...lists].map(([directory, { names, settled }]): ListRow =>
      settled ? [directory, names, settled.ctimeMs, settled.ino] : [directory, names],
    );
    const head: MemoHead = { digest, lists: seenLists, paths: paths.size };
    try {
      replaceByParts(this.#path(key), encodeMemo(head, partsOf(paths, look)));
    } catch {
      return;
    }
  }

  async #isAsSeen({ paths, lists, parts }: Memo): Promise<boolean> {
    // What is looked at beside this and is smaller, and may tell that there is work to do, comes first.
    if (paths > MANY_PATHS) await yieldToEvents();
    using reader = rowReader('link', paths);
    const now = new Float64Array(FIELDS);
    let entered: string | undefined;
    for (const [directory, names, ctimeMs, ino] of lists) {
      const [parent, name] = placeOf(directory);
      if (parent !== entered) reader.enter(this.#directory + parent);
      entered = parent;
      reader.read(now, 0, name);
      if (now[INO] === ino && now[CTIME] === ctimeMs) continue;
      if (readdirSync(`${this.#directory}/${directory}`).length !== names) return false;
    }
    let seen = 0;
    for (const part of parts) {
      if (!isAsBefore(part, reader, this.#directory, compareWhatCounts)) return false;
      seen += part.rows.length / FIELDS;
      await yieldToEvents();
    }
    return seen === paths;
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

const compareWhatCounts: RowCompare = (now, rows, at) => {
  if (now[MODE] !== 0) keepWhatCounts(now, 0, rows[at] === HIDDEN);
  return isSameRow(now, 0, rows, at);
};

/** The directory as {@link Memo} writes it, and the name in it. */
function placeOf(path: string): [directory: string, name: string] {
  const cut = path.lastIndexOf('/') + 1;
  return [`/${path.slice(0, cut)}`, path.slice(cut)];
}

/** Of a million paths neither all rows nor their names are in memory at once. */
function* partsOf(paths: Iterable<string>, look: Seen['look']): Generator<PathTable> {
  const rows = new Float64Array(PART_PATHS * FIELDS);
  let names: string[] = [];
  let at = 0;
  let directory: string | undefined;
  const part = (): PathTable => ({ names: names.join('\0'), rows: rows.subarray(0, at) });
  for (const path of paths) {
    const [parent, name] = placeOf(path);
    if (parent !== directory) names.push(parent);
    directory = parent;
    names.push(name);
    const seen = look(path);
    writeRow(rows, at, seen?.stat);
    if (seen) keepWhatCounts(rows, at, seen.hidden);
    at += FIELDS;
    if (at < rows.length) continue;
    yield part();
    names = [];
    at = 0;
    directory = undefined;
  }
  if (at > 0) yield part();
}

const MAGIC = 0x7473_6d31;
const WORD = 4;
const ROW_ALIGNMENT = 8;

/**
 * In the machine's own byte order, in words of 32 bits: magic, length and checksum of the head, a zero, then the head; for each part the
 * lengths of its names and rows, a checksum of the names and how many of their bytes fill them up, then both. All of it begins at
 * multiples of eight. Damage in rows needs no search: then some file is not what they say.
 */
function* encodeMemo(head: MemoHead, parts: Iterable<PathTable>): Generator<Uint8Array> {
  const text = padded(JSON.stringify(head), ' ');
  yield words(MAGIC, text.length, quickChecksum(text), 0);
  yield text;
  for (const { names, rows } of parts) {
    const bytes = padded(names, '\0');
    yield words(bytes.length, rows.byteLength, quickChecksum(bytes), bytes.length - Buffer.byteLength(names));
    yield bytes;
    yield new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
  }
}

const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);

/** Whole rows in length. */
function padded(text: string, by: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & (ROW_ALIGNMENT - 1), by)]);
}

/** Undefined where there is none; one that is damaged is removed. */
function readMemo(path: string): Memo | undefined {
  const memo = decodeMemo(path);
  if (memo !== 'damaged') return memo;
  rmSync(path, { force: true });
  return undefined;
}

/** Whether a file is a memo of which nothing is damaged, as far as it shows. */
export function isWholeMemo(path: string): boolean {
  try {
    const memo = decodeMemo(path);
    if (memo === undefined || memo === 'damaged') return false;
    let count = 0;
    for (const { rows } of memo.parts) count += rows.length / FIELDS;
    return count === memo.paths;
  } catch {
    return false;
  }
}

function decodeMemo(path: string): Memo | 'damaged' | undefined {
  let data: Buffer;
  try {
    data = readFileSync(path);
  } catch {
    return undefined;
  }
  if (data.byteOffset % ROW_ALIGNMENT !== 0) data = Buffer.from(Uint8Array.from(data).buffer);
  try {
    const [magic, length, sum] = wordsAt(data, 0);
    const end = 4 * WORD + length!;
    const text = data.subarray(4 * WORD, end);
    if (magic === MAGIC && length === text.length && quickChecksum(text) === sum)
      return { ...(JSON.parse(text.toString()) as MemoHead), parts: partsIn(data, end) };
  } catch {
    // Shorter than it says.
  }
  return 'damaged';
}

/** @throws RangeError for what is no whole part */
function* partsIn(data: Buffer, start: number): Generator<PathTable> {
  for (let at = start; at < data.length;) {
    const [namesLength, rowsLength, sum, padding] = wordsAt(data, at);
    const namesAt = at + 4 * WORD;
    const rowsAt = namesAt + namesLength!;
    const names = data.subarray(namesAt, rowsAt);
    at = rowsAt + rowsLength!;
    if (quickChecksum(names) !== sum) throw new RangeError('names of a memo are damaged');
    const count = rowsLength! / Float64Array.BYTES_PER_ELEMENT;
    yield {
      names: names.toString('utf8', 0, names.length - padding!),
      rows: new Float64Array(data.buffer, data.byteOffset + rowsAt, count),
    };
  }
}

const wordsAt = (data: Buffer, at: number) => new Uint32Array(data.buffer, data.byteOffset + at, 4);
