import { readFileSync } from 'node:fs';
import { BuildError } from '../../errors.js';
import { callLibc } from './libc.js';

const CLONE_NEWNS = 0x20000;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x40000;

let entered = false;

/**
 * Gives this process a mount namespace of its own, once: no mount made later is seen outside or outlives the process, even
 * after kill -9. From then on only synchronous file calls and child processes see the mounts; threads of Node's pool
 * may live in the old namespace.
 * @throws NOT_PERMITTED
 */
export function enterMountNamespace(): void {
  if (entered) return;
  try {
    callLibc('int unshare(int flags)', [CLONE_NEWNS]);
    callLibc(
      'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
      ['none', '/', null, MS_REC | MS_PRIVATE, null],
    );
  } catch (error) {
    throw new BuildError('NOT_PERMITTED', `no mount namespace can be made: ${(error as Error).message}`, {
      cause: error,
      hint: 'run tsbuild as root, or as a user on a machine that allows user namespaces; in a container it needs CAP_SYS_ADMIN',
    });
  }
  entered = true;
}

let inside: boolean | undefined;

/** True inside of a user namespace that does not map all users one to one. A process stays in the one that it was started in. */
export function inUserNamespace(): boolean {
  return (inside ??= !/^\s*0\s+0\s+4294967295\s*$/.test(readUidMap()));
}

/** The uid outside of the user namespace in which tsbuild started itself again; else the process's own. */
export function realUid(): number {
  const given = process.env['TSBUILD_REAL_UID'];
  if (given !== undefined && /^\d+$/.test(given) && inUserNamespace()) return Number(given);
  return process.getuid?.() ?? 0;
}

function readUidMap(): string {
  try {
    return readFileSync('/proc/self/uid_map', 'utf8');
  } catch {
    return '0 0 4294967295';
  }
}
