import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ProcessMount, ProcessSpec } from '../executor/executor.js';
import { DEFAULT_HOSTNAME, hostsFile, resolvConf } from '../executor/network-files.js';
import { resolveInRoot } from '../executor/root-path.js';
import { createMountStubs } from '../executor/stubs.js';
import { homeOf, type ProcessUser, resolveUser } from '../executor/user.js';
import type { MountedRoot } from '../snapshot/overlay.js';
import type { ExecRun } from './exec-op.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Describes the op's process on its mounted root, and makes there what it needs: its working directory, which stays, and
 * targets of mounts, which `removeStubs` takes away again. All file calls are synchronous: others may not see the mount.
 * @throws USER_NOT_FOUND
 */
export function prepareProcess(
  { op, job }: ExecRun,
  root: Pick<MountedRoot, 'path' | 'directory'>,
  mounts: readonly ProcessMount[],
): { spec: ProcessSpec; removeStubs: () => void } {
  const { extraHosts = [], proxyEnv = [] } = job.vertex.options;
  const passwd = readText(root.path, '/etc/passwd');
  const user = resolveUser(op.user, { passwd, group: readText(root.path, '/etc/group') });
  const hostname = op.hostname ?? DEFAULT_HOSTNAME;
  const all = [...networkMounts(root.directory, hostsFile(hostname, extraHosts)), ...mounts];
  const removeStubs = createMountStubs(root.path, all);
  makeWorkingDirectory(resolveInRoot(root.path, op.cwd), user);
  const spec: ProcessSpec = {
    rootfs: root.path,
    directory: root.directory,
    args: op.args,
    env: processEnvironment([...op.env, ...proxyEnv], homeOf(user.uid, passwd)),
    cwd: op.cwd,
    ...user,
    hostname,
    network: op.network === 'none' ? 'none' : 'host',
    security: op.security,
    mounts: all,
  };
  return { spec, removeStubs };
}

/** Adds PATH where none is given, and HOME where none or an empty one is. */
export function processEnvironment(env: readonly string[], home: string): string[] {
  const given = env.filter((entry) => entry !== 'HOME=');
  const has = (name: string) => given.some((entry) => entry.startsWith(`${name}=`));
  return [
    ...given,
    ...(has('PATH') ? [] : [`PATH=${DEFAULT_PATH}`]),
    ...(has('HOME') ? [] : [`HOME=${home}`]),
  ];
}

/** Text of a file of the root file system; empty when there is none. */
export function readText(rootfs: string, path: string): string {
  try {
    return readFileSync(resolveInRoot(rootfs, path), 'utf8');
  } catch {
    return '';
  }
}

/** Files of the run's directory in place of the image's. */
export function networkMounts(directory: string, hosts: string): ProcessMount[] {
  const files = { '/etc/resolv.conf': resolvConf(), '/etc/hosts': hosts };
  return Object.entries(files).map(([target, text]) => {
    const source = join(directory, target.slice('/etc/'.length));
    writeFileSync(source, text);
    chmodSync(source, 0o644);
    return { source, target, readonly: true };
  });
}

/** Missing directories belong to the user; those that exist stay as they are. */
export function makeWorkingDirectory(path: string, user: ProcessUser): void {
  if (statSync(path, { throwIfNoEntry: false })) return;
  makeWorkingDirectory(dirname(path), user);
  mkdirSync(path);
  chmodSync(path, 0o755);
  chownSync(path, user.uid, user.gid);
}
