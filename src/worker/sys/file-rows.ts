import { constants, lstatSync, type Stats, statSync } from 'node:fs';
import { libcFunction } from './libc.js';
import { currentWitness } from './witness.js';

/** What of a file's stat tells that it is the same, and that it holds the same. */
export type FileIdentity = Pick<Stats, 'mode' | 'size' | 'mtimeMs' | 'ctimeMs' | 'ino'>;

/** Numbers of a row: inode, ctime and mtime in milliseconds, size in bytes, mode. */
export const FIELDS = 5;

/** From so many looks on it pays to load what calls libc without Node's own way around it, which takes 5 ms. */
const MANY = 4000;

const AT_SYMLINK_NOFOLLOW = 0x100;
/** Needs no right to read a directory, as a look by its path needs none. */
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BYTES = 256;
const STATX = 'int statx(int dirfd, const char *path, int flags, unsigned int mask, void *buffer)';
const OPEN = 'int open(const char *path, int flags)';
const CLOSE = 'int close(int fd)';

/** Looks at files, directory by directory: the kernel has fewer names to walk, and less is copied for each look. */
export interface RowReader extends Disposable {
  /** The names to come are in this directory, which ends in a slash. */
  enter(directory: string): void;
  /** Puts the row of a file at `at`; the name '' is the directory itself. @throws errors other than absence */
  read(rows: Float64Array, at: number, name: string): void;
}

/** Writes the row of a file; one that is not there has a row of zeros, which no file has. */
export function writeRow(rows: Float64Array, at: number, stat: FileIdentity | undefined): void {
  rows[at] = stat ? stat.ino : 0;
  rows[at + 1] = stat ? stat.ctimeMs : 0;
  rows[at + 2] = stat ? stat.mtimeMs : 0;
  rows[at + 3] = stat ? stat.size : 0;
  rows[at + 4] = stat ? stat.mode : 0;
}

/** Whether two rows say that it is the same file, and that it holds the same. */
export function isSameRow(a: Float64Array, aAt: number, b: Float64Array, bAt: number): boolean {
  for (let field = 0; field < FIELDS; field++) if (a[aAt + field] !== b[bAt + field]) return false;
  return true;
}

/** The quickest way to look at `count` files, of links themselves or of what they point to. Equal files, equal rows, either way. */
export function rowReader(how: 'link' | 'file', count: number): RowReader {
  const plain = new PlainReader(how);
  if (count < MANY) return plain;
  try {
    return witnessed(how, new StatxReader(how, plain));
  } catch {
    // A libc of before 2018.
    return plain;
  }
}

/** Node's own calls are seen without help. */
function witnessed(how: 'link' | 'file', reader: RowReader): RowReader {
  const witness = currentWitness();
  if (!witness?.watches) return reader;
  let directory = '';
  return {
    enter: (next) => reader.enter((directory = next)),
    read: (rows, at, name) => {
      reader.read(rows, at, name);
      witness.row(how, directory + name, rows, at);
    },
    [Symbol.dispose]: () => reader[Symbol.dispose](),
  };
}

const QUIET = { throwIfNoEntry: false } as const;

class PlainReader implements RowReader {
  readonly #stat: typeof lstatSync;
  #directory = '';

  constructor(how: 'link' | 'file') {
    this.#stat = how === 'link' ? lstatSync : statSync;
  }

  enter(directory: string): void {
    this.#directory = directory;
  }

  read(rows: Float64Array, at: number, name: string): void {
    writeRow(rows, at, this.#stat(this.#directory + name, QUIET));
  }

  [Symbol.dispose](): void {
    // It holds nothing.
  }
}

/** Reads the kernel's `struct statx` (statx(2)). What fails is asked for once more in Node's way, which has the errors. */
class StatxReader implements RowReader {
  readonly #plain: RowReader;
  readonly #flags: number;
  readonly #statx = libcFunction(STATX);
  readonly #open = libcFunction(OPEN);
  readonly #close = libcFunction(CLOSE);
  readonly #words = new Uint32Array(STATX_BYTES / 4);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #isLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  /** -1 where there is none that can be entered. */
  #fd = -1;

  constructor(how: 'link' | 'file', plain: RowReader) {
    this.#flags = how === 'link' ? AT_SYMLINK_NOFOLLOW : 0;
    this.#plain = plain;
  }

  enter(directory: string): void {
    this[Symbol.dispose]();
    this.#plain.enter(directory);
    this.#fd = this.#open(directory, O_PATH | constants.O_DIRECTORY | O_CLOEXEC);
  }

  read(rows: Float64Array, at: number, name: string): void {
    if (
      this.#fd < 0 ||
      this.#statx(this.#fd, name === '' ? '.' : name, this.#flags, STATX_BASIC_STATS, this.#bytes) !== 0
    )
      return this.#plain.read(rows, at, name);
    const words = this.#words;
    rows[at] = this.#whole(8);
    rows[at + 1] = this.#timeMs(24);
    rows[at + 2] = this.#timeMs(28);
    rows[at + 3] = this.#whole(10);
    rows[at + 4] = this.#isLittle ? words[7]! & 0xffff : words[7]! >>> 16;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#close(this.#fd);
    this.#fd = -1;
  }

  /** By the places of the fields in 32-bit words. */
  #whole(at: number): number {
    const [low, high] = this.#isLittle ? [at, at + 1] : [at + 1, at];
    return this.#words[high]! * 2 ** 32 + this.#words[low]!;
  }

  /** 64 bits of seconds, then 32 of nanoseconds. */
  #timeMs(at: number): number {
    const words = this.#words;
    const [low, high] = this.#isLittle ? [at, at + 1] : [at + 1, at];
    return ((words[high]! | 0) * 2 ** 32 + words[low]!) * 1e3 + words[at + 2]! / 1e6;
  }
}
