import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { statIfThere } from './cache/if-there.js';
import { BuildError, firstThrown } from './errors.js';
import type { OutputSpec } from './exporter/output-spec.js';
import type { ResolvedOp } from './graph/contract.js';
import { formatBytes } from './progress.js';
import { spaceOf } from './prune/survey.js';
import type { Store } from './store.js';

/** Whether all that the outputs write into files lies on the store's disk, and could be written once more. */
export function sharesDisk({ state }: Store, outputs: readonly OutputSpec[]): boolean {
  const { dev } = statSync(state.path, { bigint: true });
  const destinations = outputs.flatMap((output) => ('dest' in output && output.dest ? [output.dest] : []));
  return destinations.every((path) => path !== '-' && deviceOf(resolve(path)) === dev);
}

/** Of the nearest directory that exists; the exporter says what is wrong with the path. */
function deviceOf(path: string): bigint {
  return statIfThere(path)?.dev ?? deviceOf(dirname(path));
}

/** Codes of errors whose message is what another program printed. */
const PROGRAMS: readonly string[] = ['GIT_FAILED', 'EXECUTOR_FAILED'];
const PROGRAM_SAYS = /No space left on device|Disk quota exceeded/;

/** Whether the error, or what caused it, is a file system that has no room left. */
export function isDiskFull(error: unknown): boolean {
  for (let cause = firstThrown(error); cause instanceof Error; cause = firstThrown(cause.cause)) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'DISK_FULL') return true;
    if (PROGRAMS.includes(code ?? '') && PROGRAM_SAYS.test(cause.message)) return true;
  }
  return false;
}

const FULL = /^the disk of "[^"]*" is full: /;

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

  /** What the store's disk has left. */
  freeBytes(): number {
    return spaceOf(this.#store.state.path).freeBytes;
  }

  /**
   * Runs, and runs once more after a prune where the disk was full and the prune freed something.
   * @param name what is run, for the error
   * @throws DISK_FULL
   */
  async retrying<T>(name: string, run: () => Promise<T>, start: Start = {}): Promise<T> {
    const { note, freeBytes, signal = this.#signal } = start;
    try {
      return await run();
    } catch (error) {
      if (!isDiskFull(error) || isExplained(error) || signal.aborted) throw error;
      const freedBytes = await (this.#pruning ??= this.#prune());
      if (freedBytes === 0) throw await this.explained(error, name, freeBytes);
      note?.(`the disk was full; pruned ${formatBytes(freedBytes)}, trying once more`);
    }
    const freeNowBytes = this.freeBytes();
    try {
      return await run();
    } catch (error) {
      if (!isDiskFull(error) || signal.aborted) throw error;
      throw await this.explained(error, name, Math.max(freeBytes ?? 0, freeNowBytes));
    }
  }

  /** The error with what is needed, what there is, what takes the room and the way out; others unchanged. */
  async explained(error: unknown, name?: string, neededBytes?: number): Promise<unknown> {
    if (!isDiskFull(error) || isExplained(error) || isElsewhere(error, name)) return error;
    const { state } = this.#store;
    const { freeBytes, sizeBytes } = spaceOf(state.path);
    const freed = this.#pruning === undefined ? undefined : await this.#pruning;
    const room = `${formatBytes(neededBytes ?? freeBytes)} of ${formatBytes(sizeBytes)}`;
    const needs =
      neededBytes === undefined ? `${room} are free` : `more than the ${room} that were free is needed`;
    const pruned =
      freed === undefined
        ? ''
        : freed > 0
          ? `; pruning freed ${formatBytes(freed)}`
          : '; nothing could be pruned';
    return new BuildError('DISK_FULL', `the disk of "${state.path}" is full: ${needs}${pruned}`, {
      cause: error,
      hint: `take names away from images (tsbuild rmi) and prune, make room, or choose another disk with --root${await this.#largest()}`,
      vertex: error instanceof BuildError ? (error.vertex ?? name) : name,
      location: error instanceof BuildError ? error.location : undefined,
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

interface Start {
  readonly note?: (message: string) => void;
  /** What was free before: more than this is needed where it was not enough. */
  readonly freeBytes?: number;
  /** Where it is not the command's. */
  readonly signal?: AbortSignal;
}

/** The op, whose `exec` is tried once more after a prune when the disk was full. */
export function withSpace(op: ResolvedOp, space: SpaceMaker): ResolvedOp {
  const exec: ResolvedOp['exec'] = (job, inputs) =>
    space.retrying(job.vertex.options.name, () => op.exec(job, inputs), {
      note: job.note,
      freeBytes: space.freeBytes(),
      signal: job.signal,
    });
  return { ...op, exec };
}

/** An export that was not tried again failed on the disk of its destination, which its message names. */
function isElsewhere(error: unknown, name: string | undefined): boolean {
  return name === undefined && error instanceof BuildError && error.code === 'EXPORT_FAILED';
}

/** Errors are made anew on their way up, so their words tell. */
function isExplained(error: unknown): boolean {
  return error instanceof BuildError && error.code === 'DISK_FULL' && FULL.test(error.message);
}
