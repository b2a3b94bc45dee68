import { execFileSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeDirectories } from '../../cache/make-directories.js';
import { BuildError } from '../../errors.js';
import type { JobContext } from '../../graph/contract.js';
import { removeFilesThatTell } from '../../secrets/remove-files.js';
import type { SecretSearch } from '../../secrets/secret-vault.js';
import { resolveInRoot } from '../executor/root-path.js';
import type { MountedRoot } from '../snapshot/overlay.js';
import { type FailedStepDescription, keepFailedStep, type SecretPlaces } from './failed-steps.js';

/** What is done with the files of a step that failed. */
export interface FailureCare {
  /** Directory of failed steps. */
  readonly directory: string;
  /** A file or directory of the step's root, and where on this machine it is copied to. */
  readonly exports: readonly { readonly path: string; readonly destination: string }[];
  readonly places: SecretPlaces;
  readonly search: () => SecretSearch | undefined;
}

/**
 * Copies out what was asked for, unmounts the root and keeps its files; gives the error with the name that `tsbuild debug` takes.
 * A step that was interrupted or ended because another one failed leaves nothing.
 */
export function afterFailure(
  error: unknown,
  root: MountedRoot,
  job: JobContext,
  {
    care,
    step,
  }: {
    readonly care: FailureCare;
    readonly step: Pick<FailedStepDescription, 'parents' | 'inputs' | 'op' | 'logPath'>;
  },
): unknown {
  const isOwn =
    error instanceof BuildError && ['RUN_FAILED', 'TIMED_OUT', 'OUT_OF_MEMORY'].includes(error.code);
  if (!isOwn || job.signal.aborted) return error;
  for (const wanted of care.exports) copyOut(root, wanted, job);
  root.unmount();
  try {
    forgetSecrets(root.upper, care, job);
    const debugId = keepFailedStep(care.directory, root.upper, {
      ...step,
      ...care.places,
      name: job.vertex.options.name,
      message: error.message,
      failedAt: new Date().toISOString(),
      extraHosts: job.vertex.options.extraHosts ?? [],
    });
    return error.with({ failedStep: { debugId } });
  } catch (failure) {
    // A full disk, say; what the step says is worth more.
    job.note(`the step's files cannot be kept for tsbuild debug: ${(failure as Error).message}`);
    return error;
  }
}

/** A child process sees the mount, and keeps owners, links and attributes. */
function copyOut(
  root: MountedRoot,
  { path, destination }: FailureCare['exports'][number],
  job: JobContext,
): void {
  const source = resolveInRoot(root.path, path);
  if (!lstatSync(source, { throwIfNoEntry: false })) {
    job.note(`--on-fail-export: the step left no "${path}"`);
    return;
  }
  try {
    makeDirectories(dirname(destination));
    execFileSync('cp', ['-a', '-T', '--', source, destination], { stdio: ['ignore', 'ignore', 'pipe'] });
    job.note(`copied "${path}" of the failed step to ${destination}`);
  } catch (error) {
    job.note(`--on-fail-export: "${path}" cannot be copied to ${destination}: ${(error as Error).message}`);
  }
}

function forgetSecrets(upper: string, { search }: FailureCare, job: JobContext): void {
  const searched = search();
  if (!searched) return;
  for (const path of removeFilesThatTell(upper, searched))
    job.note(`"${path}" is not kept for tsbuild debug: it holds a secret`);
}
