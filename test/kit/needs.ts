import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Suite, Context } from 'mocha';
import { inUserNamespace } from '../../src/worker/sys/namespaces.js';

/**
 * - `root`: root of the machine, who may set cgroup limits without delegation, mount what all see, trace programs and
 *   change owners.
 * - `mounts`: this process may mount: root, or an ordinary user's process that `scripts/test-matrix.sh` started in a user
 *   namespace, as tsbuild does itself. For tests that call the worker in their own process.
 * - `builder`: may run tsbuild's steps: root, or a user with ranges of subordinate ids.
 */
type Need = 'root' | 'mounts' | 'builder' | { program: string };

const skipped = new Set<string>();

/**
 * Skips the running suite or test where the machine lacks something; {@link takeSkipped} tells what it was. In CI, which
 * installs everything, a missing program fails instead.
 */
export function needs(context: Context | Suite, ...list: Need[]): void {
  const missing = list
    .filter((need) => !isMet(need))
    .map((need) => (typeof need === 'string' ? need : need.program));
  if (missing.length === 0) return;
  if (process.env['TSBUILD_CI'] && missing.some((name) => name !== 'root' && name !== 'mounts'))
    throw new Error(`CI lacks: ${missing.join(', ')}`);
  const place = (context as Context).test?.titlePath().join(' ') ?? '';
  skipped.add(`${place.replace(/"before (all|each)" hook( (for|in) )?.*/, '')}: needs ${missing.join(', ')}`);
  (context as Context).skip();
}

/** One line for each suite or test that was skipped since the last call, with what it needs. */
export function takeSkipped(): string[] {
  const lines = [...skipped];
  skipped.clear();
  return lines;
}

/** Root of the machine, not of a user namespace. */
export function isRoot(): boolean {
  return process.getuid?.() === 0 && !inUserNamespace();
}

/** The program on PATH or in the usual places for root; `first` are asked before. */
export function findProgram(name: string, first: readonly string[] = []): string | undefined {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  return [...first, ...path.split(delimiter)].map((dir) => join(dir, name)).find((file) => existsSync(file));
}

function isMet(need: Need): boolean {
  if (typeof need !== 'string') return findProgram(need.program) !== undefined;
  if (need === 'root') return isRoot();
  return process.getuid?.() === 0 || (need === 'builder' && hasSubordinateIds());
}

function hasSubordinateIds(): boolean {
  if (findProgram('newuidmap') === undefined) return false;
  return readFileSync('/etc/subuid', 'utf8').includes(`${userInfo().username}:`);
}
