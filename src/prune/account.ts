import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../cache/checked-file.js';
import type { StateRoot } from '../cache/state-root.js';
import { spaceOf } from './survey.js';

/** What the store took when it was last measured, so that not every build has to walk it. */
interface Account {
  readonly totalBytes: number;
  /** What the file system had left then. */
  readonly freeBytes: number;
  /** Builds that wrote something since. */
  readonly builds: number;
}

/** So many builds may write before the store is measured in any case: others may free what we fill. */
const MOST_BUILDS = 100;

/**
 * Counts a build that wrote something, and tells whether the store may be larger than `mostBytes`: what it was when it was last
 * measured and what the file system lost since. Reads one small file; others' files make it measure too often, never too
 * rarely.
 */
export function isMeasuringDue(state: StateRoot, mostBytes: number): boolean {
  const account = readAccount(state);
  if (!account) return true;
  const { freeBytes } = spaceOf(state.path);
  const { totalBytes, builds } = account;
  const writtenBytes = Math.max(0, account.freeBytes - freeBytes);
  if (totalBytes + writtenBytes > mostBytes || builds + 1 >= MOST_BUILDS) return true;
  write(state, { ...account, builds: builds + 1 });
  return false;
}

/** Remembers a measurement. */
export function writeAccount(state: StateRoot, totalBytes: number): void {
  write(state, { totalBytes, freeBytes: spaceOf(state.path).freeBytes, builds: 0 });
}

function write(state: StateRoot, account: Account): void {
  try {
    replaceFile(accountPath(state), JSON.stringify(account));
  } catch {
    // Without it the next build measures again.
  }
}

function readAccount(state: StateRoot): Account | undefined {
  try {
    return JSON.parse(readFileSync(accountPath(state), 'utf8')) as Account;
  } catch {
    return undefined;
  }
}

function accountPath(state: StateRoot): string {
  return join(state.path, 'usage.json');
}
