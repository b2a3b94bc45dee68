import { Session } from 'node:inspector/promises';

/** Which blocks of `src` ran, counted by V8 itself. */
export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Number of blocks that ran for the first time since the last call. */
  async news(): Promise<number> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    const before = this.#seen.size;
    for (const { url, functions } of result) {
      if (!url.includes('/src/')) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          // Powers of two: a loop that runs more often is news, too.
          if (count > 0)
            this.#seen.add(
              `${url} ${startOffset} ${endOffset} ${Math.min(6, Math.floor(Math.log2(count) / 2))}`,
            );
        }
      }
    }
    return this.#seen.size - before;
  }

  get blocks(): number {
    return this.#seen.size;
  }

  stop(): void {
    this.#session.disconnect();
  }
}
