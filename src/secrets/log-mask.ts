import type { ByteSearch } from './byte-search.js';

const MASK = Buffer.from('***');

/** Puts `***` in the place of every match of a stream, also of those that come in two parts. */
export class LogMask {
  readonly #search: ByteSearch;
  /** The start of what may become a match. */
  #held: Buffer = Buffer.alloc(0);

  constructor(search: ByteSearch) {
    this.#search = search;
  }

  /** What may be shown now; the rest comes with the next part or with {@link end}. */
  mask(part: Uint8Array): Uint8Array {
    const data = this.#held.length === 0 ? part : Buffer.concat([this.#held, part]);
    const { shown, next } = this.#replace(data, this.#search.unfinished(data));
    this.#held = Buffer.from(data.subarray(next));
    return shown;
  }

  /** What was held back. */
  end(): Uint8Array {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    return this.#replace(held, held.length).shown;
  }

  /** Only what begins before `until`: a match there may be the start of a longer one. */
  #replace(data: Uint8Array, until: number): { shown: Uint8Array; next: number } {
    const shown: Uint8Array[] = [];
    let next = 0;
    for (;;) {
      const match = this.#search.find(data, next);
      if (!match || match.at >= until) break;
      shown.push(data.subarray(next, match.at), MASK);
      next = match.at + this.#search.lengthOf(match.pattern);
    }
    const end = Math.max(next, until);
    if (shown.length === 0) return { shown: data.subarray(0, end), next: end };
    shown.push(data.subarray(next, end));
    return { shown: Buffer.concat(shown), next: end };
  }
}

/** A text without the matches. */
export function maskText(text: string, search: ByteSearch): string {
  const mask = new LogMask(search);
  const data = Buffer.from(text);
  return Buffer.concat([mask.mask(data), mask.end()]).toString('utf8');
}
