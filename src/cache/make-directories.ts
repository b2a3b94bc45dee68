import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a directory and those above it that are missing. For paths that a user gives, in place of Node's recursive mkdir: that
 * tries for ever where mkdir(2) says ENOENT although the parent is there, as in /proc.
 * @throws errors of mkdir(2) and stat(2), EEXIST where something else has the name
 */
export function makeDirectories(path: string, mode = 0o777): void {
  // Most are there, and an error takes longer than a look.
  if (isDirectory(path)) return;
  const missing = [resolve(path)];
  for (let at = dirname(missing[0]!); !statSync(at, { throwIfNoEntry: false }); at = dirname(at))
    missing.push(at);
  for (const directory of missing.reverse()) makeDirectory(directory, mode);
}

function makeDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, mode);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST' && isDirectory(path);
    if (!isThere) throw error;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
