import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { textIfThere } from '../cache/if-there.js';
import { chooseExecutor } from '../worker/executor/select-executor.js';
import { findController } from '../worker/cgroup/hierarchy.js';
import { vethObstacle } from '../worker/network/veth-network.js';
import { inUserNamespace, realUid } from '../worker/sys/namespaces.js';
import { idMapObstacle } from '../worker/sys/id-map-programs.js';
import { findProgram } from '../worker/sys/programs.js';
import { commandForRanges, fileWithoutRange, userName } from '../worker/sys/subordinate-ids.js';
import type { MachineCheck, MachineFinding } from './machine-check.js';

/** What steps are isolated and limited with. */
export const ISOLATION_CHECKS: readonly MachineCheck[] = [
  { name: 'overlayfs', check: checkOverlay },
  { name: 'mounts', check: checkMounts },
  { name: 'user namespaces', check: checkUserNamespaces },
  { name: 'subordinate ids', check: checkSubordinateIds },
  { name: 'executor', check: checkExecutor },
  { name: 'seccomp', check: checkSeccomp },
  { name: 'network', check: checkNetwork },
  { name: 'control groups', check: checkControlGroups },
  { name: 'emulators', check: checkEmulators },
];

const CAP_SYS_ADMIN = 1n << 21n;

const ok = (detail: string): MachineFinding => ({ status: 'ok', detail });
const warning = (detail: string, mend: string): MachineFinding => ({ status: 'warning', detail, mend });
const failed = (detail: string, mend: string): MachineFinding => ({ status: 'failed', detail, mend });

function checkOverlay(): MachineFinding {
  if (/\toverlay$/m.test(textIfThere('/proc/filesystems') ?? '')) return ok('the kernel has it');
  return failed('the kernel does not have it loaded', 'modprobe overlay');
}

/** Root of a container has capabilities as its engine gives them. */
function checkMounts(): MachineFinding {
  if (!isRoot()) return ok("in the user's own namespace");
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(textIfThere('/proc/self/status') ?? '')?.[1];
  if (effective === undefined || (BigInt(`0x${effective}`) & CAP_SYS_ADMIN) !== 0n)
    return ok('root may mount');
  return failed(
    'root may not mount here: this container has no CAP_SYS_ADMIN',
    'start the container with --cap-add SYS_ADMIN, or run tsbuild as an ordinary user of it',
  );
}

function checkUserNamespaces(): MachineFinding {
  const settings: readonly [name: string, bad: string, good: string][] = [
    ['user.max_user_namespaces', '0', '15000'],
    ['kernel.unprivileged_userns_clone', '0', '1'],
    ['kernel.apparmor_restrict_unprivileged_userns', '1', '0'],
  ];
  for (const [name, bad, good] of settings) {
    if ((textIfThere(`/proc/sys/${name.replaceAll('.', '/')}`) ?? '').trim() !== bad) continue;
    return warning(`ordinary users cannot build: ${name} is ${bad}`, `sysctl -w ${name}=${good}`);
  }
  return isRoot() ? ok('ordinary users may make them') : tryUserNamespace();
}

/** A container's filter of system calls may refuse what no setting shows. */
function tryUserNamespace(): MachineFinding {
  const { status, stderr, error } = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true'], {
    encoding: 'utf8',
  });
  if (status === 0) return ok('this user may make them');
  return failed(
    `this user cannot make one: ${error?.message ?? stderr.trim()}`,
    'in a container, start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined',
  );
}

function isRoot(): boolean {
  return realUid() === 0;
}

function checkSubordinateIds(): MachineFinding {
  if (isRoot()) return ok('not needed by root');
  const name = userName();
  const lacking = fileWithoutRange();
  const obstacle = idMapObstacle();
  if (lacking === undefined) {
    if (obstacle === undefined) return ok(`${name} has ranges`);
    return failed(`${name} has ranges that cannot be mapped: ${obstacle.problem}`, obstacle.mend);
  }
  return warning(
    `${lacking} gives ${name} no range: files can have one owner only, and steps that change owners or users fail`,
    commandForRanges(),
  );
}

function checkExecutor(): MachineFinding {
  let choice: ReturnType<typeof chooseExecutor>;
  try {
    choice = chooseExecutor();
  } catch (error) {
    return failed((error as Error).message, 'apt-get install crun');
  }
  const { name, program } = choice;
  if (name === 'crun') {
    const isHybrid = existsSync('/sys/fs/cgroup/unified/cgroup.controllers');
    return ok(
      `crun (${program})${isHybrid ? '; the hybrid control groups that it refuses are hidden from it' : ''}`,
    );
  }
  const loss =
    name === 'runc' ? '15 ms more for each step' : '40 ms more for each step, and no filter of system calls';
  return warning(`${name} (${program}): ${loss}`, 'apt-get install crun');
}

function checkSeccomp(): MachineFinding {
  if (!/^Seccomp:/m.test(textIfThere('/proc/self/status') ?? '')) {
    return warning('the kernel does not filter system calls', 'use a kernel with CONFIG_SECCOMP_FILTER');
  }
  return ok('the kernel filters system calls');
}

function checkNetwork(): MachineFinding {
  const obstacle = isRoot() && !inUserNamespace() ? vethObstacle() : 'an ordinary user may not add devices';
  if (obstacle === undefined) return ok('a network for each build, with iptables');
  const program = findProgram('slirp4netns') ?? findProgram('pasta');
  const lost = `steps share the host's network: ${obstacle}`;
  if (program === undefined)
    return warning(`${lost}; neither slirp4netns nor pasta is there`, 'apt-get install slirp4netns');
  if (!isOpen('/dev/net/tun'))
    return warning(
      `${lost}; /dev/net/tun is closed`,
      'chmod 666 /dev/net/tun (as root; modprobe tun where it is missing)',
    );
  return ok(`a network for each build, with ${program} (${obstacle})`);
}

function checkControlGroups(): MachineFinding {
  const memory = findController('memory');
  if (memory === undefined) {
    return warning(
      'no memory controller: --resource does not work',
      'boot with cgroup_enable=memory, or start tsbuild with systemd-run --user --scope -p Delegate=yes',
    );
  }
  if (isOpen(memory.own)) return ok(`version ${memory.version}`);
  return warning(
    `version ${memory.version}, closed to this user: --resource does not work`,
    'run tsbuild as root, or, with version 2, through systemd-run --user --scope -p Delegate=yes',
  );
}

function checkEmulators(): MachineFinding {
  if (existsSync('/proc/sys/fs/binfmt_misc/status'))
    return ok('programs for other machines can be registered');
  return warning(
    'programs for other platforms cannot run',
    'mount -t binfmt_misc none /proc/sys/fs/binfmt_misc, and apt-get install qemu-user-static',
  );
}

function isOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
