import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { BuildError } from './errors.js';
import type { OutputSpec } from './exporter/output-spec.js';
import type { ResolvedOp } from './graph/contract.js';
import { formatBytes } from './progress.js';
import { spaceOf } from './prune/survey.js';
import type { Store } from './store.js';

/** Whether all that the outputs write into files lies on the store's disk, and could be written once more. */
export function sharesDisk({ state }: Store, outputs: readonly OutputSpec[]): boolean {
  const { dev } = statSync(state.path);
  const destinations = outputs.flatMap((output) => ('dest' in output && output.dest ? [output.dest] : []));
  return destinations.every((path) => path !== '-' && deviceOf(resolve(path)) === dev);
}

/** Of the nearest directory that exists. */
function deviceOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.dev ?? deviceOf(dirname(path));
}

/** Whether the error, or what caused it, is a file system that has no room left. */
export function isDiskFull(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'DISK_FULL') return true;
  }
  return false;
}

/** How many of the largest things that stay an error names. */
const LARGEST_SHOWN = 3;

/**
 * The way out of a full disk for one command: what failed for lack of room is tried once more after everything that may go was
 * pruned. There is one prune a command; what runs beside it waits for the same one.
 */
export class SpaceMaker {
  readonly #store: Store;
  readonly #signal: AbortSignal;
  #pruning: Promise<number> | undefined;

  constructor(store: Store, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
  }

  /**
   * Runs, and runs once more after a prune where the disk was full and the prune freed something.
   * @param name what is run, for the error and `note`
   * @throws DISK_FULL
   */
  async retrying<T>(name: string, run: () => Promise<T>, note?: (message: string) => void): Promise<T> {
    const { path } = this.#store.state;
    try {
      return await run();
    } catch (error) {
      if (!isDiskFull(error) || this.#signal.aborted) throw error;
      const freedBytes = await (this.#pruning ??= this.#prune());
      if (freedBytes === 0) throw await this.explained(error, name);
      note?.(`the disk was full; pruned ${formatBytes(freedBytes)}, trying once more`);
    }
    const { freeBytes } = spaceOf(path);
    try {
      return await run();
    } catch (error) {
      if (!isDiskFull(error) || this.#signal.aborted) throw error;
      throw await this.explained(error, name, freeBytes);
    }
  }

  /** The error with what is needed, what there is, what takes the room and the way out; others unchanged. */
  async explained(error: unknown, name?: string, neededBytes?: number): Promise<unknown> {
    if (!isDiskFull(error) || isExplained(error) || isElsewhere(error, name)) return error;
    const { state } = this.#store;
    const { freeBytes, sizeBytes } = spaceOf(state.path);
    const freed = this.#pruning === undefined ? undefined : await this.#pruning;
    const needs =
      neededBytes === undefined
        ? `${formatBytes(freeBytes)} of ${formatBytes(sizeBytes)} are free`
        : `${name ?? 'it'} needs more than the ${formatBytes(neededBytes)} of ${formatBytes(sizeBytes)} that were free`;
    const pruned =
      freed === undefined
        ? ''
        : freed > 0
          ? `; pruning freed ${formatBytes(freed)}`
          : '; nothing could be pruned';
    return new DiskFullError(`the disk of "${state.path}" is full: ${needs}${pruned}`, error, {
      hint: `make room, take names away from images you do not need (tsbuild rmi, tsbuild prune), or choose another disk with --root${await this.#largest()}`,
      vertex: error instanceof BuildError ? (error.vertex ?? name) : name,
    });
  }

  async #prune(): Promise<number> {
    const { pruneOpened } = await import('./disk.js');
    try {
      using _lock = await this.#store.lock('prune', { signal: this.#signal });
      return (await pruneOpened(this.#store, { all: true }, this.#signal)).bytes;
    } catch (error) {
      // Not even a lock file fits, or the store cannot be read: the first error says more.
      if (this.#signal.aborted) throw error;
      return 0;
    }
  }

  async #largest(): Promise<string> {
    const { largestKept } = await import('./disk.js');
    const kept = largestKept(this.#store, LARGEST_SHOWN);
    return kept.length === 0 ? '' : `; the largest things there: ${kept.join(', ')}`;
  }
}

/** The op, whose `exec` is tried once more after a prune when the disk was full. */
export function withSpace(op: ResolvedOp, space: SpaceMaker): ResolvedOp {
  const exec: ResolvedOp['exec'] = (job, inputs) =>
    space.retrying(job.vertex.options.name, () => op.exec(job, inputs), job.note);
  return { ...op, exec };
}

/** Explained already. */
class DiskFullError extends BuildError {
  constructor(
    message: string,
    cause: unknown,
    { hint, vertex }: { hint: string; vertex: string | undefined },
  ) {
    const location = cause instanceof BuildError ? cause.location : undefined;
    super('DISK_FULL', message, { cause, hint, vertex, location });
  }
}

/** An export that was not tried again failed on the disk of its destination, which its message names. */
function isElsewhere(error: unknown, name: string | undefined): boolean {
  return name === undefined && error instanceof BuildError && error.code === 'EXPORT_FAILED';
}

function isExplained(error: unknown): boolean {
  return error instanceof DiskFullError;
}
