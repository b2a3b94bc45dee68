import { rmSync } from 'node:fs';
import { findFilesThatTell } from './file-search.js';
import type { SecretSearch } from './secret-vault.js';

/** Removes the files below a directory that hold a secret, or are named after one, and gives their paths in it. */
export function removeFilesThatTell(directory: string, search: SecretSearch): string[] {
  return findFilesThatTell(directory, search).map(({ path, location }) => {
    rmSync(location, { recursive: true, force: true });
    return path;
  });
}
