import { chmodSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import type { LockAcquirer, SnapshotResult } from '../../graph/contract.js';
import type { BindMount, ExecOp, SecretMount, SshMount, TmpfsMount } from '../../graph/op.js';
import type { ProcessMount } from '../executor/executor.js';
import { resolveInRoot } from '../executor/root-path.js';
import type { OverlayRoots } from '../snapshot/overlay.js';
import { mountTmpfs, unmount } from '../sys/mounts.js';
import { setOwner } from '../sys/subordinate-ids.js';
import { type MountJob, openCacheMounts } from './cache-mount.js';
import { forwardSocket } from './ssh-agents.js';

/** A secret's value; undefined where the build has none of that name. */
export type SecretReader = (id: string) => Buffer | undefined;

export interface MountDependencies {
  readonly overlays: OverlayRoots;
  /** Directory of cache mounts. */
  readonly cacheMounts: string;
  readonly lock: LockAcquirer;
  readonly secret: SecretReader;
  /** Socket of an ssh agent; undefined where the build has none of that name. */
  readonly sshSocket: (id: string) => Promise<string | undefined>;
}

/** The sources of a process's mounts and the variables that secrets give; disposing unmounts and unlocks them. */
export interface MountSources extends AsyncDisposable {
  readonly mounts: readonly ProcessMount[];
  /** `K=V` */
  readonly env: readonly string[];
}

/** What ends the mounts, in the order of their opening. */
type Closing = (() => void | PromiseLike<void>)[];

interface OpenMount {
  readonly mount?: ProcessMount;
  readonly env?: string;
}

/**
 * Makes what the op mounts visible on the host.
 * @param directory the run's own directory, removed by its owner after the mounts are disposed
 * @throws FILE_OPERATION_FAILED when a source does not exist, SECRET_MISSING
 */
export async function openMountSources(
  op: ExecOp,
  inputs: readonly SnapshotResult[],
  directory: string,
  deps: MountDependencies,
  job: MountJob,
): Promise<MountSources> {
  const closing: Closing = [];
  const close = async () => {
    for (const end of closing.reverse()) await end();
  };
  try {
    const opened: OpenMount[] = [];
    const cacheMounts = op.mounts.filter((mount) => mount.type === 'cache');
    const caches = await openCacheMounts(cacheMounts, inputs, deps, job);
    closing.push(() => caches[Symbol.dispose]());
    for (const [i, mount] of op.mounts.entries()) {
      const own = join(directory, `mount-${i}`);
      switch (mount.type) {
        case 'bind':
          opened.push({ mount: await openBind(mount, inputs, deps, job, closing) });
          break;
        case 'cache': {
          const source = caches.pathOf(mount);
          opened.push({ mount: { source, target: mount.target, readonly: mount.readonly } });
          break;
        }
        case 'tmpfs':
          opened.push({ mount: openTmpfs(mount, own, closing) });
          break;
        case 'secret':
          opened.push(openSecret(mount, own, deps.secret, closing));
          break;
        case 'ssh':
          opened.push(await openSsh(mount, own, deps, closing));
      }
    }
    return {
      mounts: opened.flatMap(({ mount }) => mount ?? []),
      env: firstOfEach(opened.flatMap(({ env }) => env ?? [])),
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Writes go to an upper directory that nobody keeps. */
async function openBind(
  { input, source, target, readonly }: BindMount,
  inputs: readonly SnapshotResult[],
  { overlays }: MountDependencies,
  job: MountJob,
  closing: Closing,
): Promise<ProcessMount> {
  const layers = inputs[input]?.layers ?? [];
  const root = await overlays.mount(layers, job.signal, { onProgress: (row) => job.transfer(row) });
  closing.push(() => root[Symbol.asyncDispose]());
  const path = resolveInRoot(root.path, source);
  if (lstatSync(path, { throwIfNoEntry: false })) return { source: path, target, readonly };
  throw new BuildError('FILE_OPERATION_FAILED', `"${source}", to be mounted at "${target}", is not there`);
}

function openTmpfs(mount: TmpfsMount, own: string, closing: Closing): ProcessMount {
  const { target, sizeBytes, readonly = false } = mount;
  makeTmpfs(own, sizeBytes === undefined ? 'mode=1777' : `mode=1777,size=${sizeBytes}`, closing);
  return { source: own, target, readonly };
}

/** The file lies in a tmpfs of its own, so that its bytes reach no disk. */
function openSecret(mount: SecretMount, own: string, secret: SecretReader, closing: Closing): OpenMount {
  const value = secret(mount.id);
  if (value === undefined) {
    if (!mount.required) return {};
    throw new BuildError('SECRET_MISSING', `secret "${mount.id}" is required and was not given`, {
      hint: `give it with --secret id=${mount.id},src=FILE or id=${mount.id},env=NAME`,
    });
  }
  const env = mount.env === undefined ? {} : { env: `${mount.env}=${value.toString('utf8')}` };
  if (mount.target === undefined) return env;
  makeTmpfs(own, 'mode=0700', closing);
  const source = join(own, 'secret');
  writeFileSync(source, value, { mode: 0o600 });
  setOwner(
    source,
    mount.uid,
    mount.gid,
    () => `the secret "${mount.id}" is to belong to ${mount.uid}:${mount.gid}`,
  );
  chmodSync(source, mount.mode);
  return { ...env, mount: { source, target: mount.target, readonly: true } };
}

/** SSH_AUTH_SOCK is that of the first mount. */
function firstOfEach(env: readonly string[]): string[] {
  const agent = env.filter((entry) => entry.startsWith('SSH_AUTH_SOCK='));
  return [...env.filter((entry) => !agent.includes(entry)), ...agent.slice(0, 1)];
}

async function openSsh(
  mount: SshMount,
  own: string,
  { sshSocket }: MountDependencies,
  closing: Closing,
): Promise<OpenMount> {
  const agent = await sshSocket(mount.id);
  if (agent === undefined) {
    if (!mount.required) return {};
    throw new BuildError('SECRET_MISSING', `no SSH key "${mount.id}" forwarded from the client`, {
      hint: `give it with --ssh ${mount.id}, or --ssh ${mount.id}=SOCKET or KEYFILE`,
    });
  }
  mkdirSync(own);
  const forward = await forwardSocket(agent, own, mount);
  closing.push(() => forward.close());
  return {
    env: `SSH_AUTH_SOCK=${mount.target}`,
    mount: { source: forward.path, target: mount.target, readonly: false },
  };
}

function makeTmpfs(path: string, options: string, closing: Closing): void {
  mkdirSync(path);
  mountTmpfs(path, options);
  closing.push(() => unmount(path));
}
