import { writeSync } from 'node:fs';

/** Writes all of `data`, where the file's own position is or at another, in bytes. @throws errors of write(2) */
export function writeAll(fd: number, data: Uint8Array, position?: number): void {
  for (let at = 0; at < data.length;)
    at += writeSync(fd, data, at, data.length - at, position === undefined ? null : position + at);
}
