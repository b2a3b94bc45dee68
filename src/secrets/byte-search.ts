/** Where a pattern was found. */
export interface ByteMatch {
  readonly at: number;
  /** Number of the pattern in the order given. */
  readonly pattern: number;
}

const BLOCKS = 1 << 16;

/**
 * Finds any of many byte strings in one pass (Wu and Manber's algorithm with blocks of two bytes): at most places it reads two
 * bytes and skips as many as the shortest pattern is long, so that a gigabyte takes a fraction of a second however many
 * patterns there are.
 */
export class ByteSearch {
  readonly longest: number;
  readonly #patterns: readonly Buffer[];
  /** Length of the part of each pattern that the window covers. */
  readonly #window: number;
  /** By the last two bytes of the window: how far it can move. */
  readonly #shifts: Uint8Array;
  /** By the last two bytes of the window: patterns that may begin here, longest first. */
  readonly #candidates = new Map<number, number[]>();

  /** @param patterns at least one, each of two bytes or more */
  constructor(patterns: readonly Buffer[]) {
    this.#patterns = patterns;
    this.longest = Math.max(...patterns.map((pattern) => pattern.length));
    this.#window = Math.min(64, ...patterns.map((pattern) => pattern.length));
    this.#shifts = new Uint8Array(BLOCKS).fill(this.#window - 1);
    for (const [i, pattern] of patterns.entries()) this.#enter(i, pattern);
    for (const candidates of this.#candidates.values())
      candidates.sort((a, b) => patterns[b]!.length - patterns[a]!.length);
  }

  lengthOf(pattern: number): number {
    return this.#patterns[pattern]!.length;
  }

  #enter(number: number, pattern: Buffer): void {
    const last = this.#window - 2;
    for (let at = 0; at <= last; at++) {
      const block = pattern[at]! | (pattern[at + 1]! << 8);
      this.#shifts[block] = Math.min(this.#shifts[block]!, last - at);
      if (at === last) this.#candidates.set(block, [...(this.#candidates.get(block) ?? []), number]);
    }
  }

  /** The first match that begins at `from` or later, of several there the longest. */
  find(data: Uint8Array, from = 0): ByteMatch | undefined {
    const shifts = this.#shifts;
    const end = data.length - 1;
    const last = this.#window - 2;
    for (let at = from + last; at < end;) {
      const block = data[at]! | (data[at + 1]! << 8);
      const shift = shifts[block]!;
      if (shift > 0) {
        at += shift;
        continue;
      }
      const pattern = this.#candidates.get(block)?.find((number) => this.#isAt(data, at - last, number));
      if (pattern !== undefined) return { at: at - last, pattern };
      at += 1;
    }
    return undefined;
  }

  #isAt(data: Uint8Array, at: number, number: number): boolean {
    const pattern = this.#patterns[number]!;
    if (at + pattern.length > data.length) return false;
    return pattern.compare(data, at, at + pattern.length) === 0;
  }

  /** Where at `from` or later a pattern begins of which the data ends too early to tell the rest; its length where there is none. */
  unfinished(data: Uint8Array, from = 0): number {
    for (let at = Math.max(from, data.length - this.longest + 1); at < data.length; at++) {
      const left = data.length - at;
      const isStart = (pattern: Buffer) =>
        pattern[0] === data[at] &&
        pattern.length > left &&
        pattern.compare(data, at, data.length, 0, left) === 0;
      if (this.#patterns.some(isStart)) return at;
    }
    return data.length;
  }
}
