import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { BuildError } from '../errors.js';

/**
 * A whole small file, without waiting: a fifo, a device or a directory is none. Undefined where there is none.
 * @throws FILE_OPERATION_FAILED for one that is longer than `limitBytes`; errors of the file system other than absence
 */
export function readSmallFile(path: string, { limitBytes }: { limitBytes: number }): Buffer | undefined {
  let fd: number;
  try {
    // O_NONBLOCK: opening a fifo would wait for a writer.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (
      ['ENOENT', 'ENOTDIR', 'ENXIO', 'ENODEV', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')
    )
      return undefined;
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return undefined;
    if (stat.size > limitBytes) {
      throw new BuildError(
        'FILE_OPERATION_FAILED',
        `"${path}" has ${stat.size} bytes; at most ${limitBytes} are read`,
      );
    }
    const buffer = Buffer.allocUnsafe(stat.size);
    let length = 0;
    while (length < buffer.length) {
      const read = readSync(fd, buffer, length, buffer.length - length, length);
      if (read === 0) break;
      length += read;
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
