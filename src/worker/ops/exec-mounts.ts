import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { BuildError } from '../../errors.js';
import type { ExecMount } from '../../graph/op.js';
import type { ProcessMount } from '../executor/executor.js';
import { resolveInRoot } from '../executor/root-path.js';
import type { MountedRoot } from '../snapshot/overlay.js';
import type { ExecRun } from './exec-op.js';

/** The sources of a process's bind mounts; disposing unmounts them. */
export interface MountSources extends AsyncDisposable {
  readonly mounts: readonly ProcessMount[];
}

/**
 * Makes what the op mounts visible on the host: snapshots as overlays, directories of the caller as copies. Writes to either are
 * thrown away.
 * @throws FILE_OPERATION_FAILED when a source does not exist
 */
export async function openMountSources(run: ExecRun, directory: string): Promise<MountSources> {
  const roots: MountedRoot[] = [];
  const dispose = async () => {
    for (const root of roots.reverse()) await root[Symbol.asyncDispose]();
  };
  try {
    const mounts: ProcessMount[] = [];
    for (const [i, mount] of run.op.mounts.entries()) {
      const source = await openSource(run, mount, join(directory, `mount-${i}`), roots);
      if (!lstatSync(source, { throwIfNoEntry: false })) {
        throw new BuildError(
          'FILE_OPERATION_FAILED',
          `"${mount.source}", to be mounted at "${mount.target}", is not there`,
        );
      }
      mounts.push({ source, target: mount.target, readonly: mount.readonly });
    }
    return { mounts, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function openSource(
  run: ExecRun,
  mount: ExecMount,
  copy: string,
  roots: MountedRoot[],
): Promise<string> {
  const { deps, job, localOps, inputs } = run;
  const localOp = localOps[mount.input];
  if (localOp) {
    await deps.mounts.copyLocal(localOp, mount.source, copy, job.signal);
    return copy;
  }
  const input = inputs[mount.input];
  const layers = input?.kind === 'snapshot' ? input.layers : [];
  const root = await deps.overlays.mount(layers, job.signal, (row) => job.transfer(row));
  roots.push(root);
  return resolveInRoot(root.path, mount.source);
}
