import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Suite, Context } from 'mocha';

/** `builder`: root, or a user with ranges of subordinate ids. */
type Need = 'root' | 'builder' | { program: string };

/**
 * Skips the running suite or test where the machine lacks something, with the reason; in CI, which installs everything,
 * a missing program fails instead.
 */
export function needs(context: Context | Suite, ...list: Need[]): void {
  const missing = list
    .filter((need) => !isMet(need))
    .map((need) => (typeof need === 'string' ? need : need.program));
  if (missing.length === 0) return;
  if (process.env['TSBUILD_CI'] && missing.some((name) => name !== 'root'))
    throw new Error(`CI lacks: ${missing.join(', ')}`);
  (context as Context).skip();
}

/** The program on PATH or in the usual places for root; `first` are asked before. */
export function findProgram(name: string, first: readonly string[] = []): string | undefined {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  return [...first, ...path.split(delimiter)].map((dir) => join(dir, name)).find((file) => existsSync(file));
}

function isMet(need: Need): boolean {
  if (typeof need !== 'string') return findProgram(need.program) !== undefined;
  return process.getuid?.() === 0 || (need === 'builder' && hasSubordinateIds());
}

function hasSubordinateIds(): boolean {
  if (findProgram('newuidmap') === undefined) return false;
  return readFileSync('/etc/subuid', 'utf8').includes(`${userInfo().username}:`);
}
