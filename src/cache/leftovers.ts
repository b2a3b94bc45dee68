import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Removes what processes that no longer live left in a directory of temporary entries. Their names start with the pid of their
 * process, perhaps after a dot: `123-abc`, `.123-abc`; other names are left alone.
 */
export function removeLeftovers(directory: string): void {
  for (const name of readdirSync(directory)) {
    const pid = /^\.?(\d+)-/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    rmSync(join(directory, name), { recursive: true, force: true });
  }
}

/** A pid that another process took over in the meantime only delays the removal. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
