import { throwIfAborted } from '../errors.js';
import type { ResolvedOp } from '../graph/contract.js';

type Lane = ResolvedOp['lane'];

interface Queue {
  add<T>(run: () => Promise<T>): Promise<T>;
}

/** How much of each kind of work goes on at once. */
export type LaneWidths = Readonly<Record<Lane, number>>;

/**
 * Bounded lanes for the three kinds of work. A vertex enters a lane only when its inputs are ready, so a full lane never
 * waits for something behind itself. The queue library is loaded with the first vertex that runs.
 */
export class Lanes {
  readonly #widths: LaneWidths;
  readonly #queues = new Map<Lane, Promise<Queue>>();

  constructor(widths: LaneWidths) {
    this.#widths = widths;
  }

  /** Runs `run` when the lane has room; rejects with the signal's reason when it is aborted before that. */
  async run<T>(lane: Lane, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    const queue = await this.#queue(lane);
    return queue.add(async () => {
      throwIfAborted(signal);
      return run();
    });
  }

  #queue(lane: Lane): Promise<Queue> {
    let queue = this.#queues.get(lane);
    if (!queue) {
      queue = import('p-queue').then(
        ({ default: PQueue }) => new PQueue({ concurrency: this.#widths[lane] }),
      );
      this.#queues.set(lane, queue);
    }
    return queue;
  }
}
