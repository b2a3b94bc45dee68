import { readSync } from 'node:fs';

const SHORTEST = 16 << 10;
const LONGEST = 256 << 10;
const WINDOW_BYTES = 4 << 20;
/** The upper 16 bits of the rolling hash decide, so one byte in 65,536 ends a chunk. */
const END_MASK = 0xffff0000;

/** A random-looking number for each byte, the same everywhere. */
const GEAR = Uint32Array.from({ length: 256 }, (_, byte) => {
  let state = Math.imul(byte + 1, 0x9e3779b1);
  for (let round = 0; round < 4; round++) {
    state ^= state >>> 15;
    state = Math.imul(state, 0x85ebca6b + round * 2);
    state ^= state >>> 13;
  }
  return state >>> 0;
});

/**
 * Cuts a file where its content says so (a gear hash over the last 32 bytes), so that a byte that is inserted changes one or
 * two chunks and not all that follow. Chunks have 16 KiB to 256 KiB, about 80 KiB on average; a shorter file is one chunk.
 * The callback's buffer is only valid during the call.
 */
export function chunkFile(fd: number, onChunk: (data: Buffer, offset: number) => void): void {
  const window = Buffer.allocUnsafe(WINDOW_BYTES);
  let filled = 0;
  let fileOffset = 0;
  for (let isAtEnd = false; !isAtEnd || filled > 0;) {
    while (!isAtEnd && filled < WINDOW_BYTES) {
      const read = readSync(fd, window, filled, WINDOW_BYTES - filled, fileOffset + filled);
      if (read === 0) isAtEnd = true;
      filled += read;
    }
    let at = 0;
    while (at < filled && (isAtEnd || filled - at >= LONGEST)) {
      const end = nextCut(window, at, filled);
      onChunk(window.subarray(at, end), fileOffset + at);
      at = end;
    }
    window.copyWithin(0, at, filled);
    filled -= at;
    fileOffset += at;
  }
}

function nextCut(data: Buffer, start: number, end: number): number {
  const last = Math.min(start + LONGEST, end);
  let hash = 0;
  for (let at = Math.min(start + SHORTEST, last); at < last; at++) {
    hash = ((hash << 1) + GEAR[data[at]!]!) | 0;
    if ((hash & END_MASK) === 0) return at + 1;
  }
  return last;
}
