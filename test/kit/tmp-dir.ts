import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runAsStoreOwner } from './store-owner.js';

const made: string[] = [];

/** A fresh directory, removed at the end of the tests. */
export function tmpDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-test-'));
  made.push(dir);
  return dir;
}

/** Whether the path lies in a directory that `tmpDir` made for this process. */
export function isInTmpDir(path: string): boolean {
  return made.some((dir) => path.startsWith(`${dir}/`));
}

export function removeTmpDirs(): void {
  for (const dir of made.splice(0)) {
    try {
      rmSync(dir, { recursive: true, force: true });
    } catch {
      runAsStoreOwner('rm', ['-rf', dir]);
    }
  }
}

process.on('exit', removeTmpDirs);
