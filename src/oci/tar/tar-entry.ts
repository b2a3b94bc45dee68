export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

/** One member of a tar archive. */
export interface TarEntry {
  /** As in the archive, without the slash that ends a directory's name. */
  readonly name: string;
  readonly type: TarEntryType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for what is no file. */
  readonly size: number;
  /** Whole seconds since the epoch. */
  readonly mtimeSec: number;
  /** Target of a symlink or hardlink, as written. */
  readonly linkName?: string | undefined;
  readonly deviceMajor?: number | undefined;
  readonly deviceMinor?: number | undefined;
  /** Values byte for byte. */
  readonly xattrs?: Readonly<Record<string, Buffer>> | undefined;
}

/** The end of the year 9999: later times have no form in RFC 3339, which configs are written in. */
const LARGEST_MTIME = 253_402_300_799;

/** A modification time as entries have it. */
export function wholeSeconds(seconds: number): number {
  if (!Number.isFinite(seconds)) return 0;
  return Math.min(Math.max(Math.floor(seconds), -LARGEST_MTIME), LARGEST_MTIME);
}

/** For node:fs, which takes a number below 0 for the present. */
export function fileTime(mtimeSec: number): Date {
  return new Date(mtimeSec * 1000);
}

/** The start of the year 0, the first of RFC 3339. */
const SMALLEST_CREATED = -62_167_219_200;

/** A time as configs have it, in RFC 3339. */
export function createdTime(seconds: number): string {
  return new Date(Math.max(wholeSeconds(seconds), SMALLEST_CREATED) * 1000).toISOString();
}

export const TAR_BLOCK = 512;
/** Two zero blocks end an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

/** Bytes that fill `size` up to a whole block. */
export function tarPadding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}
