import type { LayerEntry, LayerIndex } from './layer-index.js';
import { comparePaths } from './path-order.js';

/** What stands around the entries of a stored listing. */
export const BEFORE_ENTRIES = '{"entries":';
export const AFTER_ENTRIES = ',"impliedDirectories":';

/** How each entry begins. In a string of JSON the quotes would have a backslash; in an entry no object follows a comma. */
const ENTRY = '{"path":"';
const BOUNDARY = `},${ENTRY}`;
/** Where the quote stands that a path begins with. */
const QUOTE_AT = ENTRY.length - 1;

/**
 * The listing of a large layer as the text that is stored, of which single entries are found by bisection: the whole, which takes
 * 1 ms for a thousand entries, is read when somebody asks for it.
 */
export class ListingText implements LayerIndex {
  /** Until the whole was read. */
  #text: string;
  readonly #start = BEFORE_ENTRIES.length + 1;
  /** Of the bracket after the last entry. */
  readonly #end: number;
  #entries: readonly LayerEntry[] | undefined;
  #implied: readonly string[] | undefined;

  /** Undefined for a text that is not written as entries are now. */
  static of(text: string): ListingText | undefined {
    if (!text.startsWith(`${BEFORE_ENTRIES}[${ENTRY}`)) return undefined;
    const end = text.lastIndexOf(`]${AFTER_ENTRIES}`);
    return end < 0 ? undefined : new ListingText(text, end);
  }

  private constructor(text: string, end: number) {
    this.#text = text;
    this.#end = end;
  }

  /** Whether the whole was read: then single entries are found there. */
  get isRead(): boolean {
    return this.#entries !== undefined;
  }

  get entries(): readonly LayerEntry[] {
    if (!this.#entries) {
      this.#implied = this.impliedDirectories;
      this.#entries = JSON.parse(this.#text.slice(this.#start - 1, this.#end + 1)) as LayerEntry[];
      this.#text = '';
    }
    return this.#entries;
  }

  get impliedDirectories(): readonly string[] {
    const at = this.#end + 1 + AFTER_ENTRIES.length;
    return (this.#implied ??= JSON.parse(this.#text.slice(at, -1)) as string[]);
  }

  /** The entry of that path, without the others being read. Not once `isRead`. */
  find(path: string): LayerEntry | undefined {
    let low = this.#start;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >> 1;
      // The last entry that begins at or before the middle, and not before the lowest.
      const at = Math.max(low, this.#text.lastIndexOf(BOUNDARY, middle - 2) + 2);
      const order = comparePaths(this.#pathAt(at), path);
      if (order > 0) high = at;
      else if (order < 0) low = this.#after(at);
      else return JSON.parse(this.#text.slice(at, this.#after(at)).replace(/,$/, '')) as LayerEntry;
    }
    return undefined;
  }

  #pathAt(entry: number): string {
    const quote = entry + QUOTE_AT;
    let end = quote + 1;
    for (; this.#text[end] !== '"'; end++) if (this.#text[end] === '\\') end++;
    return JSON.parse(this.#text.slice(quote, end + 1)) as string;
  }

  /** Where the next entry begins, or what follows the last. */
  #after(entry: number): number {
    const boundary = this.#text.indexOf(BOUNDARY, entry);
    return boundary < 0 ? this.#end : boundary + 2;
  }
}
