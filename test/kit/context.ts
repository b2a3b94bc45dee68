import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpDir } from './tmp-dir.js';

/** A file's text, or what else stands at a path. */
export type ContextEntry =
  | string
  | Buffer
  | { readonly text: string | Buffer; readonly mode?: number }
  | { readonly link: string }
  | { readonly directory: true; readonly mode?: number };

/** Makes a build context from a table of paths; the order is kept. Modes do not depend on the umask. */
export function makeContext(entries: Readonly<Record<string, ContextEntry>>, root = tmpDir()): string {
  for (const [path, entry] of Object.entries(entries)) {
    const file = join(root, path);
    makeParents(root, dirname(file));
    if (typeof entry === 'string' || Buffer.isBuffer(entry)) write(file, entry, 0o644);
    else if ('text' in entry) write(file, entry.text, entry.mode ?? 0o644);
    else if ('link' in entry) symlinkSync(entry.link, file);
    else {
      mkdirSync(file, { recursive: true });
      chmodSync(file, entry.mode ?? 0o755);
    }
  }
  return root;
}

function makeParents(root: string, dir: string): void {
  if (dir.length <= root.length) return;
  makeParents(root, dirname(dir));
  try {
    mkdirSync(dir);
    chmodSync(dir, 0o755);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function write(file: string, data: string | Buffer, mode: number): void {
  writeFileSync(file, data);
  chmodSync(file, mode);
}
