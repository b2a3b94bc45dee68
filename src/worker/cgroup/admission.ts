import { throwIfAborted } from '../../errors.js';

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * Lets processes begin only while what they may use together fits into a budget of memory. They begin in the order in which they
 * came; one that asks for more than the whole budget runs alone.
 */
export class MemoryAdmission {
  readonly #budgetBytes: number;
  readonly #waiting: Waiting[] = [];
  #usedBytes = 0;
  #running = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  /**
   * Resolves once there is room; disposing the result gives it back. Rejects with the signal's reason.
   * @param onWait is called once when there is none yet
   */
  async enter(bytes: number, signal: AbortSignal, onWait: () => void): Promise<Disposable> {
    throwIfAborted(signal);
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      onWait();
      await this.#wait(bytes, signal);
    } else {
      this.#take(bytes);
    }
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#usedBytes -= bytes;
        this.#running -= 1;
        this.#startWaiting();
      },
    };
  }

  #fits(bytes: number): boolean {
    return this.#running === 0 || this.#usedBytes + bytes <= this.#budgetBytes;
  }

  #take(bytes: number): void {
    this.#usedBytes += bytes;
    this.#running += 1;
  }

  #wait(bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry: Waiting = {
        bytes,
        start: () => {
          signal.removeEventListener('abort', abandon);
          this.#take(bytes);
          resolve();
        },
      };
      const abandon = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal.reason as Error);
        this.#startWaiting();
      };
      signal.addEventListener('abort', abandon, { once: true });
      this.#waiting.push(entry);
    });
  }

  #startWaiting(): void {
    while (this.#waiting[0] && this.#fits(this.#waiting[0].bytes)) this.#waiting.shift()!.start();
  }
}
