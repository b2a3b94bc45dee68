import { constants, openSync } from 'node:fs';

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Opens what was seen to be a regular file, for reading. What became a link since is not followed (ELOOP), what became a fifo is
 * not waited for.
 */
export function openRegular(path: string): number {
  return openSync(path, FLAGS);
}
