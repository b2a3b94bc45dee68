import type { ByteMatch, ByteSearch } from './byte-search.js';

/** What is remembered of one stream; more of them say nothing new. */
const MOST_MATCHES = 100;

/** Searches a stream that comes in parts, also across their borders. */
export class StreamSearch {
  /** Positions count from the start of the stream. */
  readonly matches: ByteMatch[] = [];
  readonly #search: ByteSearch;
  /** As much of what came before as a match that ends later can begin in. */
  #carry: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor(search: ByteSearch) {
    this.#search = search;
  }

  /** Looks at the next part, which may be overwritten afterwards. */
  add(part: Uint8Array): void {
    const overlap = this.#search.longest - 1;
    const carried = this.#carry.length;
    const border = Buffer.concat([this.#carry, part.subarray(0, overlap)]);
    this.#collect(border, this.#position - carried, carried);
    this.#collect(part, this.#position, part.length);
    this.#carry =
      part.length >= overlap ? Buffer.from(part.subarray(part.length - overlap)) : border.subarray(-overlap);
    this.#position += part.length;
  }

  /** Matches that begin before `until`; those that also end there were found with the part before. */
  #collect(data: Uint8Array, offset: number, until: number): void {
    for (let from = 0; this.matches.length < MOST_MATCHES;) {
      const match = this.#search.find(data, from);
      if (!match || match.at >= until) return;
      const known = this.matches.some(({ at }) => at === offset + match.at);
      if (!known) this.matches.push({ at: offset + match.at, pattern: match.pattern });
      from = match.at + 1;
    }
  }
}
