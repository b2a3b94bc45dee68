import { lstatSync } from 'node:fs';
import { BuildError } from '../../errors.js';
import type { JobContext, SnapshotResult } from '../../graph/contract.js';
import type { ExecOp } from '../../graph/op.js';
import type { ProcessMount } from '../executor/executor.js';
import { resolveInRoot } from '../executor/root-path.js';
import type { MountedRoot, OverlayRoots } from '../snapshot/overlay.js';

/** The sources of a process's bind mounts; disposing unmounts them. */
export interface MountSources extends AsyncDisposable {
  readonly mounts: readonly ProcessMount[];
}

/**
 * Makes what the op mounts visible on the host. Writes to it are thrown away.
 * @throws FILE_OPERATION_FAILED when a source does not exist
 */
export async function openMountSources(
  op: ExecOp,
  inputs: readonly SnapshotResult[],
  overlays: OverlayRoots,
  job: JobContext,
): Promise<MountSources> {
  const roots: MountedRoot[] = [];
  const dispose = async () => {
    for (const root of roots.reverse()) await root[Symbol.asyncDispose]();
  };
  try {
    const mounts: ProcessMount[] = [];
    for (const { input, source, target, readonly } of op.mounts) {
      const root = await overlays.mount(inputs[input]?.layers ?? [], job.signal, (row) => job.transfer(row));
      roots.push(root);
      const path = resolveInRoot(root.path, source);
      if (!lstatSync(path, { throwIfNoEntry: false })) {
        throw new BuildError(
          'FILE_OPERATION_FAILED',
          `"${source}", to be mounted at "${target}", is not there`,
        );
      }
      mounts.push({ source: path, target, readonly });
    }
    return { mounts, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
