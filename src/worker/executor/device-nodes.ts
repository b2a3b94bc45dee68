import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../sys/libc.js';
import { inUserNamespace } from '../sys/namespaces.js';
import { makeNode } from '../sys/syscalls.js';

/** Major and minor numbers of the devices that every process has. */
const DEVICES: Readonly<Record<string, readonly [major: number, minor: number]>> = {
  null: [1, 3],
  zero: [1, 5],
  full: [1, 7],
  random: [1, 8],
  urandom: [1, 9],
  tty: [5, 0],
};

export const DEVICE_NAMES: readonly string[] = Object.keys(DEVICES);

const S_IFCHR = 0o020000;

export interface DeviceNodes {
  /** Before a name it is a node's path. */
  readonly prefix: string;
  /** They are the machine's, and the process could change them: it sees them read-only, which takes writing to a device as ever. */
  readonly isReadonly: boolean;
  /** What reads as nothing, and may be changed. */
  readonly nothing: string;
}

/**
 * The device nodes of one step, in its own memory: root in a step may change mode, owner and times of what it sees, and crun gives
 * standard input to the step's user. In a user namespace nobody can make nodes, nor change those of the machine.
 */
export function makeDeviceNodes(memory: string): DeviceNodes {
  if (inUserNamespace()) return { prefix: '/dev/', isReadonly: false, nothing: '/dev/null' };
  const prefix = join(memory, 'dev-');
  try {
    for (const [name, [major, minor]] of Object.entries(DEVICES)) {
      makeNode(prefix + name, S_IFCHR | 0o666, major, minor);
      chmodSync(prefix + name, 0o666);
    }
    return { prefix, isReadonly: false, nothing: `${prefix}null` };
  } catch (error) {
    if (!isErrno(error, 'EPERM')) throw error;
    // In a container that may not make any.
    const nothing = join(memory, 'nothing');
    writeFileSync(nothing, '');
    return { prefix: '/dev/', isReadonly: true, nothing };
  }
}
