import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readSmallFile } from '../../cache/small-file.js';
import { BuildError } from '../../errors.js';
import type { ExecOp } from '../../graph/op.js';
import { LIMITS } from '../../oci/limits.js';
import type { ProcessMount, ProcessSpec } from '../executor/executor.js';
import { DEFAULT_HOSTNAME, hostsFile } from '../executor/network-files.js';
import { resolveInRoot } from '../executor/root-path.js';
import { createMountStubs } from '../executor/stubs.js';
import { homeOf, type ProcessUser, resolveUser } from '../executor/user.js';
import type { Network } from '../network/network.js';
import type { MountedRoot } from '../snapshot/overlay.js';
import { requireIds } from '../sys/subordinate-ids.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Files of the network, which each process has mounted. */
export const NETWORK_FILES = ['/etc/resolv.conf', '/etc/hosts'] as const;

/** A process as an image or an instruction describes it. */
export interface ProcessRequest extends Pick<
  ExecOp,
  'args' | 'env' | 'cwd' | 'user' | 'security' | 'shmSizeBytes' | 'ulimits'
> {
  readonly network: Network;
  readonly hostname?: string;
  /** Their targets are made where they are missing. */
  readonly mounts: readonly ProcessMount[];
  /** `host:ip` */
  readonly extraHosts: readonly string[];
}

/**
 * Describes a process on a mounted root file system, and makes there what it needs: its working directory, which stays, and targets
 * of mounts, which `removeStubs` takes away again. All file calls are synchronous: others may not see the mount.
 * @throws USER_NOT_FOUND, NOT_PERMITTED where this machine gives no such ids to steps
 */
export function prepareProcess(
  root: Pick<MountedRoot, 'path' | 'directory' | 'memory'>,
  request: ProcessRequest,
): { spec: ProcessSpec; removeStubs: () => void } {
  const { network } = request;
  const passwd = readText(root.path, '/etc/passwd');
  const user = resolveUser(request.user, { passwd, group: readText(root.path, '/etc/group') });
  requireIds(user.uid, user.gid, `the user "${request.user}" is ${user.uid}:${user.gid}`);
  const hostname = request.hostname ?? DEFAULT_HOSTNAME;
  const mounts = [
    ...networkMounts(root.memory, {
      '/etc/resolv.conf': network.resolvConf,
      '/etc/hosts': hostsFile(hostname, request.extraHosts, network.hostAddress),
    }),
    ...request.mounts,
  ];
  const removeStubs = createMountStubs(root.path, mounts);
  makeWorkingDirectory(resolveInRoot(root.path, request.cwd), user);
  const spec: ProcessSpec = {
    rootfs: root.path,
    directory: root.directory,
    memory: root.memory,
    args: request.args,
    env: processEnvironment(request.env, homeOf(user.uid, passwd)),
    cwd: request.cwd,
    ...user,
    hostname,
    network: network.process,
    security: request.security,
    ...(request.shmSizeBytes === undefined ? {} : { shmSizeBytes: request.shmSizeBytes }),
    rlimits: (request.ulimits ?? []).map(parseUlimit),
    mounts,
  };
  return { spec, removeStubs };
}

/** `nofile=1024:2048`, or one number for both. @throws INVALID_VALUE */
function parseUlimit(text: string): ProcessSpec['rlimits'][number] {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text);
  if (!match)
    throw new BuildError('INVALID_VALUE', `invalid ulimit "${text}"`, {
      hint: 'write it as nofile=1024:2048',
    });
  const soft = Number(match[2]);
  return { type: match[1]!, soft, hard: match[3] === undefined ? soft : Number(match[3]) };
}

/** Adds PATH where none is given, and HOME where none or an empty one is. */
function processEnvironment(env: readonly string[], home: string): string[] {
  const given = env.filter((entry) => entry !== 'HOME=');
  const has = (name: string) => given.some((entry) => entry.startsWith(`${name}=`));
  return [
    ...given,
    ...(has('PATH') ? [] : [`PATH=${DEFAULT_PATH}`]),
    ...(has('HOME') ? [] : [`HOME=${home}`]),
  ];
}

/** Text of a file of the root file system; empty when there is none. */
function readText(rootfs: string, path: string): string {
  const limitBytes = LIMITS.imageFileBytes;
  return readSmallFile(resolveInRoot(rootfs, path), { limitBytes })?.toString('utf8') ?? '';
}

/** Files of the run's directory in place of the image's. */
function networkMounts(
  directory: string,
  files: Readonly<Record<(typeof NETWORK_FILES)[number], string>>,
): ProcessMount[] {
  return Object.entries(files).map(([target, text]) => {
    const source = join(directory, target.slice('/etc/'.length));
    writeFileSync(source, text);
    chmodSync(source, 0o644);
    return { source, target, readonly: true };
  });
}

/** Missing directories belong to the user; those that exist stay as they are. */
function makeWorkingDirectory(path: string, user: ProcessUser): void {
  if (existsSync(path)) return;
  makeWorkingDirectory(dirname(path), user);
  try {
    mkdirSync(path);
  } catch (error) {
    throw new BuildError(
      'FILE_OPERATION_FAILED',
      `the working directory cannot be made: ${(error as Error).message}`,
      {
        cause: error,
        hint: 'a file may stand in its way; choose another WORKDIR',
      },
    );
  }
  chmodSync(path, 0o755);
  chownSync(path, user.uid, user.gid);
}
