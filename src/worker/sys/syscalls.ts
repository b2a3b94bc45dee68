import { closeSync, openSync } from 'node:fs';
import { callLibc, isErrno, libcFunction } from './libc.js';

/** Calls that Node lacks; synchronous, so that they see the mounts of this process. None follows a symlink at the end of `path`. */

/** Names of the extended attributes, sorted; none where the file system has none. */
export function listXattrs(path: string): string[] {
  const list = 'long llistxattr(const char *path, void *list, unsigned long size)';
  try {
    const names = readSized(4096, (buffer) => callLibc(list, [path, buffer, buffer.length], path));
    return names.toString('utf8').split('\0').filter(Boolean).sort();
  } catch (error) {
    if (isErrno(error, 'ENOTSUP', 'EOPNOTSUPP')) return [];
    throw error;
  }
}

/** An extended attribute's value, or undefined when the file has none of that name. */
export function getXattr(path: string, name: string): Buffer | undefined {
  const get = 'long lgetxattr(const char *path, const char *name, void *value, unsigned long size)';
  try {
    return readSized(1024, (buffer) => callLibc(get, [path, name, buffer, buffer.length], path));
  } catch (error) {
    if (isErrno(error, 'ENODATA', 'ENOTSUP', 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

export function setXattr(path: string, name: string, value: Uint8Array): void {
  const set =
    'int lsetxattr(const char *path, const char *name, const void *value, unsigned long size, int flags)';
  callLibc(set, [path, name, value, value.length, 0], path);
}

/**
 * Has the kernel copy at most `length` bytes from where `source` stands to where `target` stands, both regular files; gives
 * the bytes. 0 where it cannot, for whatever reason, or `source` is at its end.
 */
export function copyFileRange(source: number, target: number, length: number): number {
  try {
    const copy = libcFunction(
      'long copy_file_range(int source, void *sourceAt, int target, void *targetAt, unsigned long length, unsigned int flags)',
    );
    return Math.max(0, Number(copy(source, null, target, null, length, 0)));
  } catch {
    // An older libc has no such function.
    return 0;
  }
}

/** Makes a special file; `mode` holds the type bits (S_IFCHR, S_IFBLK, S_IFIFO) and the permissions, less the umask. */
export function makeNode(path: string, mode: number, major: number, minor: number): void {
  callLibc(
    'int mknod(const char *path, unsigned int mode, unsigned long dev)',
    [path, mode, deviceNumber(major, minor)],
    path,
  );
}

/** Sets both times to the nanosecond, which node:fs cannot; does not follow a symlink. */
export function setTimesNs(path: string, accessNs: bigint, modificationNs: bigint): void {
  const times = new BigInt64Array([...timespec(accessNs), ...timespec(modificationNs)]);
  const [currentDirectory, noFollow] = [-100, 0x100];
  callLibc(
    'int utimensat(int dir, const char *path, const void *times, int flags)',
    [currentDirectory, path, times, noFollow],
    path,
  );
}

/** Seconds and nanoseconds; the nanoseconds of a time before 1970 count forward too. */
function timespec(timeNs: bigint): [bigint, bigint] {
  const second = 1_000_000_000n;
  const nano = ((timeNs % second) + second) % second;
  return [(timeNs - nano) / second, nano];
}

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_TOPDIR_FL = 0x20000;

/**
 * Tells ext2, ext3 and ext4 that what is made in this directory has nothing to do with each other, as `chattr +T`: each
 * directory made in it gets a region of the disk of its own. Other file systems have no such hint.
 */
export function spreadSubdirectories(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    const flags = new Int32Array(2);
    callLibc(IOCTL, [fd, FS_IOC_GETFLAGS, flags], directory);
    if ((flags[0]! & FS_TOPDIR_FL) !== 0) return;
    flags[0] = flags[0]! | FS_TOPDIR_FL;
    callLibc(IOCTL, [fd, FS_IOC_SETFLAGS, flags], directory);
  } catch {
    // It is a hint.
  } finally {
    closeSync(fd);
  }
}

const IOCTL = 'int ioctl(int fd, ulong request, void *argument)';

/** The kernel's wide form of a device number, as makedev(3). */
function deviceNumber(major: number, minor: number): bigint {
  const [x, y] = [BigInt(major), BigInt(minor)];
  return ((x & 0xfffff000n) << 32n) | ((x & 0xfffn) << 8n) | ((y & 0xffffff00n) << 12n) | (y & 0xffn);
}

/** Reads with a buffer that grows until the result fits. */
function readSized(sizeBytes: number, read: (buffer: Buffer) => number): Buffer {
  for (;;) {
    const buffer = Buffer.allocUnsafe(sizeBytes);
    try {
      return buffer.subarray(0, read(buffer));
    } catch (error) {
      if (!isErrno(error, 'ERANGE') || sizeBytes > 1 << 20) throw error;
      sizeBytes *= 8;
    }
  }
}
