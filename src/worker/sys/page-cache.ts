import { callLibc } from './libc.js';

const POSIX_FADV_DONTNEED = 4;
const WINDOW_BYTES = 4 << 20;
/** How often the kernel is told of a window: the first time it begins to write what is not on the disk yet. */
const TELLINGS = 3;
/** A call that took longer waited for a disk that has enough to do. */
const PATIENCE_MS = 20;

/**
 * For a file that is read once: takes it from the kernel's memory while it is read, so that what is written meanwhile has that memory.
 * Gives a function that is told how far it was read.
 */
export function forgetBehind(fd: number): (readTo: number) => void {
  let told = 0;
  let isOver = false;
  return (readTo) => {
    if (isOver || readTo - told < WINDOW_BYTES) return;
    const from = Math.max(0, told - (TELLINGS - 1) * WINDOW_BYTES);
    const started = performance.now();
    try {
      const prototype = 'int posix_fadvise(int fd, int64_t from, int64_t length, int advice)';
      callLibc(prototype, [fd, from, readTo - from, POSIX_FADV_DONTNEED]);
    } catch {
      isOver = true;
    }
    isOver ||= performance.now() - started > PATIENCE_MS;
    told = readTo;
  };
}
