import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Texts that tell a secret, computed apart from what is tested. */
function tellingTexts(secret: string): string[] {
  const cores = [0, 1, 2].map((before) => {
    const encoded = Buffer.from('x'.repeat(before) + secret).toString('base64');
    return encoded.slice(before === 0 ? 0 : 4, -4);
  });
  const hex = Buffer.from(secret).toString('hex');
  return [secret, ...cores, hex, hex.toUpperCase(), encodeURIComponent(secret)];
}

export function tells(text: string, secret: string): boolean {
  return tellingTexts(secret).some((form) => text.includes(form));
}

/** Files below a directory whose bytes, or whose name, tell the secret. */
export function filesThatTell(directory: string, secret: string): string[] {
  return entriesBelow(directory)
    .filter(
      ({ path, isFile }) => tells(path, secret) || (isFile && tells(readFileSync(path, 'latin1'), secret)),
    )
    .map(({ path }) => path);
}

function entriesBelow(directory: string): { path: string; isFile: boolean }[] {
  return readEntries(directory).flatMap((entry) => {
    const path = join(directory, entry.name);
    const own = { path, isFile: entry.isFile() };
    return entry.isDirectory() ? [own, ...entriesBelow(path)] : [own];
  });
}

/** Nobody but root may read the directory in which the kernel prepares an overlay's files; that has no mode at all. */
function readEntries(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if ((statSync(directory).mode & 0o777) === 0) return [];
    throw error;
  }
}
