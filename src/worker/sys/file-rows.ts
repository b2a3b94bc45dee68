import { lstatSync, type Stats, statSync } from 'node:fs';
import { lastErrno, libcFunction } from './libc.js';
import { currentWitness } from './witness.js';

/** What of a file's stat tells that it is the same, and that it holds the same. */
export type FileIdentity = Pick<Stats, 'mode' | 'size' | 'mtimeMs' | 'ctimeMs' | 'ino'>;

/** Numbers of a row: inode, ctime and mtime in milliseconds, size in bytes, mode. */
export const FIELDS = 5;

/** From so many looks on it pays to load what calls libc without Node's own way around it, which takes 5 ms. */
const MANY = 4000;

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_BASIC_STATS = 0x7ff;
const STATX_BYTES = 256;
const STATX = 'int statx(int dirfd, const char *path, int flags, unsigned int mask, void *buffer)';

/** Puts the row of a path at `at`. @throws errors other than absence */
export type RowReader = (rows: Float64Array, at: number, path: string) => void;

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
  const stat = how === 'link' ? lstatSync : statSync;
  const plain: RowReader = (rows, at, path) => writeRow(rows, at, stat(path, { throwIfNoEntry: false }));
  if (count < MANY) return plain;
  try {
    return witnessed(how, statxReader(how === 'link' ? AT_SYMLINK_NOFOLLOW : 0, plain));
  } catch {
    // A libc of before 2018.
    return plain;
  }
}

/** Node's own calls are seen without help. */
function witnessed(how: 'link' | 'file', read: RowReader): RowReader {
  const witness = currentWitness();
  if (!witness) return read;
  return (rows, at, path) => {
    read(rows, at, path);
    witness.row(how, path, rows, at);
  };
}

/** Reads the kernel's `struct statx` (statx(2)). What fails is asked for once more in Node's way, which has the errors. */
function statxReader(flags: number, plain: RowReader): RowReader {
  const statx = libcFunction(STATX);
  const words = new Uint32Array(STATX_BYTES / 4);
  const bytes = new Uint8Array(words.buffer);
  const isLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  const [low, high] = isLittle ? [0, 1] : [1, 0];
  // By the places of the fields in 32-bit words; a time is 64 bits of seconds, then 32 of nanoseconds.
  const whole = (at: number) => words[at + high]! * 2 ** 32 + words[at + low]!;
  const timeMs = (at: number) =>
    ((words[at + high]! | 0) * 2 ** 32 + words[at + low]!) * 1e3 + words[at + 2]! / 1e6;
  return (rows, at, path) => {
    if (statx(AT_FDCWD, path, flags, STATX_BASIC_STATS, bytes) !== 0) {
      if (lastErrno() === 'ENOENT') return writeRow(rows, at, undefined);
      return plain(rows, at, path);
    }
    rows[at] = whole(8);
    rows[at + 1] = timeMs(24);
    rows[at + 2] = timeMs(28);
    rows[at + 3] = whole(10);
    rows[at + 4] = isLittle ? words[7]! & 0xffff : words[7]! >>> 16;
  };
}
