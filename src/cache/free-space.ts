import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { BuildError } from '../errors.js';
import { limitHint, LIMITS } from '../oci/limits.js';

const BYTES_BETWEEN_LOOKS = 64 * 1024 * 1024;

/**
 * Called with each number of bytes that is about to be written to `path`. Data that grows without end must not fill the disk
 * of the machine: it ends when what is to stay free is reached.
 */
export function createSpaceGuard(path: string): (bytes: number) => void {
  let sinceLook = 0;
  return (bytes) => {
    sinceLook += bytes;
    if (sinceLook < BYTES_BETWEEN_LOOKS) return;
    sinceLook = 0;
    const { bavail, bsize } = statfsSync(dirname(path));
    if (bavail * bsize >= LIMITS.freeDiskBytes) return;
    throw new BuildError('DISK_FULL', `the disk of "${dirname(path)}" is nearly full`, {
      hint: `make room on it; ${limitHint('freeDiskBytes')}`,
    });
  };
}
