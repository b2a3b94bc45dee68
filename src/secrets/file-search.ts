import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { SecretSearch } from './secret-vault.js';
import { StreamSearch } from './stream-search.js';

const BUFFER_BYTES = 1 << 20;

/**
 * Paths below a directory, from its root `/`, of files and links that hold a secret or are named after one, and the number of the
 * pattern that was found. What lies below a directory with such a name is not looked at.
 */
export function findFilesThatTell(
  directory: string,
  search: SecretSearch,
): { readonly path: string; readonly pattern: number }[] {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  const found: { path: string; pattern: number }[] = [];
  const visit = (path: string) => {
    for (const entry of readdirSync(join(directory, path), { withFileTypes: true })) {
      const inside = `${path}/${entry.name}`;
      const file = join(directory, inside);
      const match =
        search.search.find(Buffer.from(entry.name)) ??
        (entry.isSymbolicLink() ? search.search.find(Buffer.from(readlinkSync(file))) : undefined) ??
        (entry.isFile() ? searchFile(file, search, buffer) : undefined);
      if (match) found.push({ path: inside, pattern: match.pattern });
      else if (entry.isDirectory()) visit(inside);
    }
  };
  visit('');
  return found;
}

function searchFile(file: string, { search }: SecretSearch, buffer: Buffer) {
  const stream = new StreamSearch(search);
  const fd = openSync(file, 'r');
  try {
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      stream.add(buffer.subarray(0, read));
      if (stream.matches.length > 0) return stream.matches[0];
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}
