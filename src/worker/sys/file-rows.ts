import { constants, lstatSync, type Stats, statSync } from 'node:fs';
import { libcFunction, type NativeCall } from './libc.js';
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
  const plain = plainReader(how);
  if (count < MANY) return plain;
  try {
    return witnessed(how, statxReader(how, plain));
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

function plainReader(how: 'link' | 'file'): RowReader {
  const stat = how === 'link' ? lstatSync : statSync;
  let directory = '';
  return {
    enter: (next) => void (directory = next),
    read: (rows, at, name) => writeRow(rows, at, stat(directory + name, QUIET)),
    [Symbol.dispose]: () => undefined,
  };
}

/**
 * Reads the kernel's `struct statx` (statx(2)). What fails is asked for once more in Node's way, which has the errors. No class: V8 runs
 * this for milliseconds only, and calls closures sooner in their quick form.
 */
function statxReader(how: 'link' | 'file', plain: RowReader): RowReader {
  const flags = how === 'link' ? AT_SYMLINK_NOFOLLOW : 0;
  const [statx, open, close] = [STATX, OPEN, CLOSE].map(libcFunction) as [NativeCall, NativeCall, NativeCall];
  const words = new Uint32Array(STATX_BYTES / 4);
  const bytes = new Uint8Array(words.buffer);
  const isLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  const [low, high] = isLittle ? [0, 1] : [1, 0];
  // By the places of the fields in 32-bit words; a time is 64 bits of seconds, then 32 of nanoseconds.
  const whole = (at: number) => words[at + high]! * 2 ** 32 + words[at + low]!;
  const timeMs = (at: number) =>
    ((words[at + high]! | 0) * 2 ** 32 + words[at + low]!) * 1e3 + words[at + 2]! / 1e6;
  // -1 where there is none that can be entered.
  let fd = -1;
  const leave = () => {
    if (fd >= 0) close(fd);
    fd = -1;
  };
  return {
    enter: (directory) => {
      leave();
      plain.enter(directory);
      fd = open(directory, O_PATH | constants.O_DIRECTORY | O_CLOEXEC);
    },
    read: (rows, at, name) => {
      if (fd < 0 || statx(fd, name === '' ? '.' : name, flags, STATX_BASIC_STATS, bytes) !== 0)
        return plain.read(rows, at, name);
      rows[at] = whole(8);
      rows[at + 1] = timeMs(24);
      rows[at + 2] = timeMs(28);
      rows[at + 3] = whole(10);
      rows[at + 4] = isLittle ? words[7]! & 0xffff : words[7]! >>> 16;
    },
    [Symbol.dispose]: leave,
  };
}
