import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs';
import type { SecretSearch } from './secret-vault.js';
import { StreamSearch } from './stream-search.js';

const BUFFER_BYTES = 1 << 20;
const SLASH = Buffer.from('/');

/** A file, link or directory that tells a secret. */
export interface TellingFile {
  /** From the directory's root `/`, for people: a name that is not UTF-8 shows otherwise. */
  readonly path: string;
  /** Where it is, byte by byte. */
  readonly location: Buffer;
  /** The number of the pattern that was found. */
  readonly pattern: number;
}

/**
 * Files and links below a directory that hold a secret or are named after one. Names are bytes here, since a step may give any. What
 * lies below a directory with such a name is not looked at, nor is what goes meanwhile.
 */
export function findFilesThatTell(directory: string, search: SecretSearch): TellingFile[] {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  const found: TellingFile[] = [];
  const root = Buffer.from(directory);
  const visit = (parent: Buffer) => {
    const entries = ifThere(() => readdirSync(parent, { withFileTypes: true, encoding: 'buffer' })) ?? [];
    for (const entry of entries) {
      const location = Buffer.concat([parent, SLASH, entry.name]);
      const match =
        search.search.find(entry.name) ??
        (entry.isSymbolicLink() ? ifThere(() => searchLink(location, search)) : undefined) ??
        (entry.isFile() ? ifThere(() => searchFile(location, search, buffer)) : undefined);
      if (match) {
        const path = location.toString('utf8', root.length);
        found.push({ path, location, pattern: match.pattern });
      } else if (entry.isDirectory()) visit(location);
    }
  };
  visit(root);
  return found;
}

/** Undefined for what another process removed since its name was read. */
function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function searchLink(link: Buffer, { search }: SecretSearch) {
  return search.find(readlinkSync(link, { encoding: 'buffer' }));
}

function searchFile(file: Buffer, { search }: SecretSearch, buffer: Buffer) {
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
