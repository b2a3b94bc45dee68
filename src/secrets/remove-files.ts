import { closeSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SecretSearch } from './secret-vault.js';
import { StreamSearch } from './stream-search.js';

const BUFFER_BYTES = 1 << 20;

/** Removes the files below a directory that hold a secret, or are named after one, and gives their paths in it. */
export function removeFilesThatTell(directory: string, search: SecretSearch): string[] {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  const removed: string[] = [];
  const visit = (path: string) => {
    for (const entry of readdirSync(join(directory, path), { withFileTypes: true })) {
      const inside = `${path}/${entry.name}`;
      const file = join(directory, inside);
      const tells =
        search.search.find(Buffer.from(entry.name)) ?? (entry.isFile() && fileTells(file, search, buffer));
      if (tells) {
        rmSync(file, { recursive: true, force: true });
        removed.push(inside);
      } else if (entry.isDirectory()) {
        visit(inside);
      }
    }
  };
  visit('');
  return removed;
}

function fileTells(file: string, { search }: SecretSearch, buffer: Buffer): boolean {
  const stream = new StreamSearch(search);
  const fd = openSync(file, 'r');
  try {
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      stream.add(buffer.subarray(0, read));
      if (stream.matches.length > 0) return true;
    }
    return false;
  } finally {
    closeSync(fd);
  }
}
