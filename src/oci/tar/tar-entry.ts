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

export const TAR_BLOCK = 512;
/** Two zero blocks end an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

/** Bytes that fill `size` up to a whole block. */
export function tarPadding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}
