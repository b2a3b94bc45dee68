import { lstatSync, readdirSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { namesIn } from './if-there.js';
import { isLiving, type ProcessStamp, processStamp, stampOf, uptimeMs } from './process-stamp.js';
import type { StateRoot } from './state-root.js';

/** Directories with files of other names than the store's own, or without temporary ones. */
const NOT_SEARCHED = new Set(['blobs', 'damaged', 'fs', 'git', 'leases', 'locks', 'logs', 'work']);
const DEEPEST = 2;

/** Temporary files and directories of that process: all that have its stamp in their name. */
export function temporariesOf(state: StateRoot, stamp: ProcessStamp): string[] {
  const found: string[] = [];
  const visit = (directory: string, depth: number) => {
    for (const entry of entriesOf(directory)) {
      const path = join(directory, entry.name);
      if (entry.name.includes(stamp)) found.push(path);
      else if (entry.isDirectory() && depth < DEEPEST && !isOthers(entry.name, directory, state))
        visit(path, depth + 1);
    }
  };
  visit(state.path, 0);
  return found;
}

/** What a step keeps in its cache mount is its own. */
function isOthers(name: string, directory: string, state: StateRoot): boolean {
  return NOT_SEARCHED.has(name) || directory === state.mounts;
}

/** Removes a tree, as far as it gets until `untilMs` of {@link uptimeMs}. True when all of it is gone. */
export function removeTreeUntil(path: string, untilMs: number): boolean {
  for (const entry of entriesOf(path)) {
    const child = join(path, entry.name);
    if (!entry.isDirectory()) unlinkSync(child);
    else if (!removeTreeUntil(child, untilMs)) return false;
    if (uptimeMs() > untilMs) return false;
  }
  try {
    rmdirSync(path);
  } catch {
    rmSync(path, { recursive: true, force: true });
  }
  return true;
}

const SMALL = { files: 16, bytes: 1 << 20 };

/** Whether the removal of a tree is soon done. So is that of none. */
export function isSmallTree(path: string): boolean {
  let { files, bytes } = SMALL;
  const waiting = [path];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const entry of entriesOf(next)) {
      const child = join(next, entry.name);
      if (entry.isDirectory()) waiting.push(child);
      else bytes -= lstatSync(child).size;
      files -= 1;
      if (files < 0 || bytes < 0) return false;
    }
  }
  return true;
}

/** Removes a tree. Node's own function without promises takes twice the calls, and a module that it loads for it. */
export function removeTree(path: string): void {
  try {
    if (removeTreeUntil(path, Infinity)) return;
  } catch {
    // The other way tries again, and says what is wrong.
  }
  rmSync(path, { recursive: true, force: true });
}

/** Removes what processes of this machine that no longer live left in a directory outside of the store. */
export function removeLeftovers(directory: string): void {
  for (const name of readdirSync(directory)) {
    const stamp = stampOf(name);
    if (stamp !== undefined && isLiving(stamp) === false)
      rmSync(join(directory, name), { recursive: true, force: true });
  }
}

/** Removes what could not be written whole; the error of that says more than one of this. */
export function removeTemporary(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    return;
  }
}

const TEMPORARY = '.tsbuild-';

/** The name beside a file of the user's under which it is written until it is whole. Tells whose it is. */
export function temporaryBeside(path: string): string {
  return `${path}${TEMPORARY}${processStamp()}`;
}

/** Removes what processes of this machine that no longer live left in a directory of the user's: of one file, or of all. */
export function removeTemporariesIn(directory: string, file?: string): void {
  for (const name of namesIn(directory)) {
    const at = name.lastIndexOf(TEMPORARY);
    if (at < 0 || (file !== undefined && name.slice(0, at) !== file)) continue;
    const rest = name.slice(at + TEMPORARY.length);
    const stamp = stampOf(rest);
    if (stamp === rest && isLiving(stamp) === false) rmSync(join(directory, name), { force: true });
  }
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}
