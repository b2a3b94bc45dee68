/** Random numbers that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to `below` - 1. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const INTERESTING = [
  '\0',
  '\n',
  '\r',
  '\\',
  '"',
  "'",
  '$',
  '{',
  '}',
  '/',
  '..',
  ' ',
  '\t',
  '\xff',
  '-1',
  '9'.repeat(20),
  '🐳',
];
const LONGEST = 64 * 1024;

/** One to four changes of bytes, words and order; parts of `other` come in. */
export function mutate(data: Buffer, other: Buffer, words: readonly string[], random: Random): Buffer {
  let mutated = data;
  for (let n = 1 + random.below(4); n > 0; n--) mutated = mutateOnce(mutated, other, words, random);
  return mutated.subarray(0, LONGEST);
}

function mutateOnce(data: Buffer, other: Buffer, words: readonly string[], random: Random): Buffer {
  const at = random.below(data.length + 1);
  const length = Math.min(data.length - at, 1 + random.below(random.of([4, 16, 600])));
  const around = (middle: Uint8Array, taken = 0) =>
    Buffer.concat([data.subarray(0, at), middle, data.subarray(at + taken)]);
  const start = random.below(other.length + 1);
  switch (random.below(9)) {
    case 0:
      return around(Buffer.alloc(0), length);
    case 1:
      return around(Buffer.from([random.below(256)]), 1);
    case 2:
      return around(Buffer.from(random.of(words)));
    case 3:
      return around(Buffer.from(random.of(words)), length);
    case 4:
      return around(Buffer.from(random.of(INTERESTING), 'latin1'));
    case 5:
      return around(other.subarray(start, start + 1 + random.below(600)));
    case 6:
      return around(
        Buffer.concat(Array.from({ length: 1 + random.below(40) }, () => data.subarray(at, at + length))),
      );
    case 7:
      return Buffer.concat([data.subarray(0, at), other.subarray(start)]);
    default: {
      const flipped = Buffer.from(data);
      if (at < flipped.length) flipped[at]! ^= 1 << random.below(8);
      return flipped;
    }
  }
}
