/** Remembers the last bytes of a stream in one piece of memory, however much there was. */
export class TailBuffer {
  readonly #buffer: Buffer;
  #used = 0;
  #total = 0;

  constructor(sizeBytes: number) {
    this.#buffer = Buffer.allocUnsafe(sizeBytes);
  }

  add(data: Uint8Array): void {
    const size = this.#buffer.length;
    const last = data.subarray(Math.max(0, data.length - size));
    const kept = Math.min(this.#used, size - last.length);
    this.#buffer.copyWithin(0, this.#used - kept, this.#used);
    this.#buffer.set(last, kept);
    this.#used = kept + last.length;
    this.#total += data.length;
  }

  /** Whether there was more. */
  get isCut(): boolean {
    return this.#total > this.#buffer.length;
  }

  text(): string {
    return this.#buffer.toString('utf8', 0, this.#used);
  }
}
