import { realpathSync, statSync } from 'node:fs';
import { textIfThere } from '../../cache/if-there.js';
import { findProgram } from './programs.js';
import { getXattr } from './syscalls.js';

/** Why a user's ranges of ids cannot be mapped, and what mends it. */
export interface IdMapObstacle {
  readonly problem: string;
  readonly mend: string;
}

/** What the kernel wants of who maps a range: capability numbers of capabilities(7). */
const PROGRAMS = [
  { name: 'newuidmap', capability: 7 },
  { name: 'newgidmap', capability: 6 },
] as const;

/** The kernel ignores the rights of programs where no process of the session may gain any. */
const NO_NEW_RIGHTS = /^NoNewPrivs:\s*1$/m;

/** Looks whether newuidmap and newgidmap are there and have the rights to map ranges for this user. */
export function idMapObstacle(): IdMapObstacle | undefined {
  // Root needs them not; in a user's namespace they have done their work, and the owners of programs cannot be seen.
  if (process.getuid?.() === 0) return undefined;
  for (const { name, capability } of PROGRAMS) {
    const found = findProgram(name);
    if (found === undefined) return { problem: `${name} is missing`, mend: 'apt-get install uidmap' };
    const path = realpathSync(found);
    if (isSetUidRoot(statSync(path)) || givesCapability(getXattr(path, 'security.capability'), capability))
      continue;
    return {
      problem: `${path} has lost its set-uid bit`,
      mend: `chown root:root ${path} && chmod u+s ${path}`,
    };
  }
  if (!NO_NEW_RIGHTS.test(textIfThere('/proc/self/status') ?? '')) return undefined;
  return {
    problem: 'newuidmap gets no rights here, since this process may not gain any (no_new_privs)',
    mend: 'start it without no_new_privs: in a container without no-new-privileges, in a service with NoNewPrivileges=no',
  };
}

function isSetUidRoot({ mode, uid }: { readonly mode: number; readonly uid: number }): boolean {
  return (mode & 0o4000) !== 0 && uid === 0;
}

/** @param value of the attribute `security.capability`: struct vfs_cap_data of linux/capability.h */
export function givesCapability(value: Uint8Array | undefined, capability: number): boolean {
  if (value === undefined || value.length < 8) return false;
  const [revisionAndFlags, permitted] = [value[0]!, value[4]!];
  const effective = 1;
  return (revisionAndFlags & effective) !== 0 && (permitted & (1 << capability)) !== 0;
}
