import type { Definition, Vertex } from '../../graph/definition.js';
import type { Digest } from '../../oci/digest.js';
import type { Executor, PreparedProcess, RunDirectories } from '../executor/executor.js';
import { SparePipes } from '../sys/pipe.js';

/** A third of what a short process takes. */
const LATER_MS = 2;

/**
 * What the next process of a build begins with, made while one runs: its pipes, and where the executor can, more. One at a time, and
 * none where no step is left that may need it.
 */
export class NextProcess implements Disposable {
  readonly pipes = new SparePipes();
  readonly #createDirectories: () => RunDirectories;
  readonly #executor: () => Executor;
  readonly #expected = new Set<Digest>();
  /** Those that ran, and all that they needed. */
  readonly #gone = new Set<Digest>();
  #prepared: PreparedProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: { createDirectories: () => RunDirectories; executor: () => Executor }) {
    this.#createDirectories = options.createDirectories;
    this.#executor = options.executor;
  }

  /** A step that may have a process. */
  expect(step: Vertex): void {
    this.#expected.add(step.digest);
    this.#gone.delete(step.digest);
  }

  /** For the process of a step, which is to end it where it does not come so far. What this step needed does not run any more. */
  take(step: Vertex, definition: Definition): PreparedProcess | undefined {
    this.#forget(step.digest, definition);
    const prepared = this.#prepared;
    this.#prepared = undefined;
    return prepared;
  }

  /** After a process was started, which has the other core for itself until then. */
  prepare(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#isClosed || this.#prepared !== undefined || this.#expected.size === 0) return;
      try {
        const { prepare } = this.#executor();
        this.#prepared = prepare?.(this.#createDirectories(), this.pipes);
      } catch {
        // What is in the way is in the next process's as well, which says it.
      }
    }, LATER_MS);
  }

  /** May be called again. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#prepared?.[Symbol.dispose]();
    this.#prepared = undefined;
    this.pipes[Symbol.dispose]();
  }

  #forget(step: Digest, definition: Definition): void {
    const waiting = [step];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (this.#gone.has(next)) continue;
      this.#gone.add(next);
      this.#expected.delete(next);
      for (const input of definition.vertices.get(next)?.inputs ?? []) waiting.push(input.vertex);
    }
  }
}
