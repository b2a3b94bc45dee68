import { rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readChecked, writeChecked } from '../cache/checked-file.js';
import { statIfThere } from '../cache/if-there.js';
import { type Digest, digestHex, digestOf } from '../oci/digest.js';

/** Longer than the clock of any file system stands still. */
const CLOCK_TICK_MS = 20;

/** Whether `dest` is the archive with that identity as it was last written from here: one small file and one stat. */
export function isWritten(memory: string, dest: string, identity: Digest): boolean {
  const state = stateOf(dest);
  return state !== undefined && readChecked(memoryPath(memory, dest)) === `${identity}\n${state}`;
}

/**
 * Keeps what identifies the file at `dest` now. Waits until the clock of its file system has moved on, so that whatever writes
 * to it later gives it another time; where that clock is ahead of ours, nothing is kept.
 */
export async function rememberWritten(memory: string, dest: string, identity: Digest): Promise<void> {
  const { ctimeMs } = statSync(dest);
  const ageMs = () => Date.now() - ctimeMs;
  // Timers and both clocks are cut to whole milliseconds. A clock that is a little ahead is waited for.
  if (ageMs() < CLOCK_TICK_MS) await sleep(Math.min(CLOCK_TICK_MS - ageMs(), 2 * CLOCK_TICK_MS) + 2);
  if (ageMs() < CLOCK_TICK_MS) return;
  try {
    writeChecked(memoryPath(memory, dest), `${identity}\n${stateOf(dest)}`);
  } catch {
    // The next export writes the archive again.
  }
}

/** Before something is written to `dest`: where that is not brought to its end, the next export writes, and cleans up. */
export function forgetWritten(memory: string, dest: string): void {
  try {
    rmSync(memoryPath(memory, dest), { force: true });
  } catch {
    // Where that cannot be written, nothing was remembered.
  }
}

function memoryPath(memory: string, dest: string): string {
  return join(memory, digestHex(digestOf(resolve(dest))));
}

/** Of regular files only: device, inode, size and the two times of the last change. */
function stateOf(dest: string): string | undefined {
  const stat = statIfThere(dest);
  if (!stat?.isFile()) return undefined;
  return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ');
}
