import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Suite, Context } from 'mocha';

type Need = 'root' | { program: string };

/**
 * Skips the running suite or test where the machine lacks something, with the reason; in CI, which installs everything,
 * a missing need fails instead.
 */
export function needs(context: Context | Suite, ...list: Need[]): void {
  const missing = list
    .filter((need) => !isMet(need))
    .map((need) => (need === 'root' ? 'root' : need.program));
  if (missing.length === 0) return;
  if (process.env['TSBUILD_CI']) throw new Error(`CI lacks: ${missing.join(', ')}`);
  (context as Context).skip();
}

/** The program on PATH or in the usual places for root; `first` are asked before. */
export function findProgram(name: string, first: readonly string[] = []): string | undefined {
  const path = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  return [...first, ...path.split(delimiter)].map((dir) => join(dir, name)).find((file) => existsSync(file));
}

function isMet(need: Need): boolean {
  return need === 'root' ? process.getuid?.() === 0 : findProgram(need.program) !== undefined;
}
