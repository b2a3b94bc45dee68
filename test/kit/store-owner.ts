import { execFileSync } from 'node:child_process';

/**
 * Runs a program that may look at all files of a store, and gives its standard output: in an ordinary user's store they belong to
 * the user's subordinate ids, over which only a user namespace gives rights.
 */
export function runAsStoreOwner(program: string, args: readonly string[]): string {
  const namespace = process.getuid?.() === 0 ? [] : ['unshare', '--user', '--map-root-user', '--map-auto'];
  const [first, ...rest] = [...namespace, program, ...args];
  return execFileSync(first!, rest, { encoding: 'utf8' });
}
