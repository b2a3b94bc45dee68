/** Random choices that a seed repeats. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** mulberry32: a number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits = Math.imul(bits ^ (bits >>> 15), bits | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `end`, without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(percent: number): boolean {
    return this.next() * 100 < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  many<T>(least: number, most: number, make: () => T): T[] {
    return Array.from({ length: least + this.below(most - least + 1) }, make);
  }
}

/** Cases that `make` gives, each once; those in `known` are left out. */
export function distinctCases(
  count: number,
  make: () => string,
  known: ReadonlySet<string> = new Set(),
): string[] {
  const found = new Set<string>();
  for (let tries = 0; found.size < count && tries < count * 50; tries++) {
    const made = make();
    if (!known.has(made)) found.add(made);
  }
  return [...found];
}

/** $FUZZ_SEED, or the day. */
export function fuzzSeed(): number {
  return Number(process.env['FUZZ_SEED'] ?? Math.floor(Date.now() / 86_400_000));
}

/** How many random cases a test asks a builder for: $FUZZ_CASES. */
export function fuzzCount(): number {
  return Number(process.env['FUZZ_CASES'] ?? 300);
}
