import { BuildError } from '../../errors.js';

/** Pulls exact numbers of bytes out of a stream of chunks, each of which need be valid only until the next one. */
export class BlockInput {
  position = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  /** Where the bytes begin of the chunk that nobody took. */
  #at = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** `length` bytes of those that are at hand, where there are as many: a promise for each header takes longer than the header. */
  readNow(length: number): Buffer | undefined {
    return this.#left >= length ? this.#take(length) : undefined;
  }

  /** Between one and `most` bytes of those that are at hand. */
  nextNow(most: number): Buffer | undefined {
    return this.#left > 0 ? this.#take(Math.min(most, this.#left)) : undefined;
  }

  /** Whether so many bytes were at hand, and skipped. */
  skipNow(length: number): boolean {
    if (this.#left < length) return false;
    this.#pass(length);
    return true;
  }

  /** `length` bytes; undefined at a clean end when that is allowed. */
  async read(length: number, mayEnd: boolean): Promise<Buffer | undefined> {
    if (this.#left >= length) return this.#take(length);
    const whole = Buffer.allocUnsafe(length);
    for (let at = 0; at < length;) {
      const part = await this.next(length - at);
      if (!part) {
        if (mayEnd && at === 0) return undefined;
        throw invalid('it ends in the middle of an entry');
      }
      at += part.copy(whole, at);
    }
    return whole;
  }

  /** Between one and `most` bytes, or undefined at the end. */
  async next(most: number): Promise<Buffer | undefined> {
    while (this.#left === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      this.#at = 0;
    }
    return this.#take(Math.min(most, this.#left));
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const part = await this.next(left);
      if (!part) throw invalid('it ends in the middle of an entry');
      left -= part.length;
    }
  }

  /** Lets the source release what it holds. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  get #left(): number {
    return this.#chunk.length - this.#at;
  }

  #take(length: number): Buffer {
    const part = this.#chunk.subarray(this.#at, this.#at + length);
    this.#pass(length);
    return part;
  }

  #pass(length: number): void {
    this.#at += length;
    this.position += length;
  }
}

export function invalid(why: string, hint?: string): BuildError {
  return new BuildError('TAR_INVALID', `the archive is not a valid tar: ${why}`, { hint });
}
