import { quickChecksum } from '../../cache/quick-checksum.js';
import { BuildError } from '../../errors.js';
import { isErrno } from '../sys/libc.js';
import type { LayerEntry, LayerIndex } from './layer-index.js';
import { comparePaths } from './path-order.js';

/** Where bytes lie in the file of a listing. */
export interface ListingPart {
  readonly at: number;
  readonly length: number;
}

/** A run of entries: the path of the first one, the bytes, and their checksum. */
type Block = readonly [path: string, length: number, checksum: number];

interface Table {
  readonly blocks: readonly Block[];
  readonly impliedDirectories: readonly string[];
}

/** Characters after which a block ends. */
const BLOCK = 1 << 14;
const MAGIC = 0x7473_6c31;
/** Magic, length and checksum of the table: 32 bits each. */
const TRAILER = 12;
const WORD = 4;

/**
 * The bytes of a listing: blocks of entries, in JSON, then a table of them, then a trailer of 32-bit words in the machine's own byte
 * order. Each block is an array; spaces fill it, and the table, up to whole words. Each part is valid until the next one is asked for.
 */
export function* encodeListing({ entries, impliedDirectories }: LayerIndex): Generator<Uint8Array> {
  const blocks: Block[] = [];
  // One for all blocks: memory of short-lived buffers is given back late.
  let buffer = Buffer.allocUnsafeSlow(4 * BLOCK);
  let text = '';
  let first = '';
  const block = () => {
    const json = `[${text}]`;
    const most = json.length * 3 + WORD;
    if (most > buffer.length) buffer = Buffer.allocUnsafeSlow(most);
    const bytes = wholeWords(json, buffer);
    blocks.push([first, bytes.length, quickChecksum(bytes)]);
    text = '';
    return bytes;
  };
  for (const entry of entries) {
    if (text === '') first = entry.path;
    else text += ',';
    text += JSON.stringify(entry);
    if (text.length >= BLOCK) yield block();
  }
  if (text !== '') yield block();
  const table = wholeWords(JSON.stringify({ blocks, impliedDirectories } satisfies Table));
  yield table;
  yield Buffer.from(Uint32Array.of(MAGIC, table.length, quickChecksum(table)).buffer);
}

/** Not what the disk could not give at that moment. */
export function isDamage(error: unknown): boolean {
  return error instanceof RangeError || error instanceof SyntaxError || isErrno(error, 'ENOENT');
}

/** @param into begins with a word, and has room for the text in UTF-8 */
function wholeWords(text: string, into = Buffer.allocUnsafeSlow(Buffer.byteLength(text) + WORD)): Buffer {
  const length = into.write(text);
  const end = length + (-length & (WORD - 1));
  return into.fill(' ', length, end).subarray(0, end);
}

/**
 * The listing of a large layer in its file, of which the table is read and then the blocks that somebody asks for: a lookup takes one
 * of them, however long the listing is.
 */
export class ListingBlocks implements LayerIndex {
  readonly #table: Table;
  /** Where each block begins. */
  readonly #starts: readonly number[];
  readonly #found = new Map<number, ReadonlyMap<string, LayerEntry>>();
  #read: (part: ListingPart) => Buffer;
  #discard: (() => void) | undefined;
  #entries: readonly LayerEntry[] | undefined;

  /**
   * Undefined for what is no whole listing.
   * @param size of the file, in bytes
   * @param tail how many of them are read at first, from its end
   */
  static open(size: number, read: (part: ListingPart) => Buffer, tail: number): ListingBlocks | undefined {
    const length = Math.min(size, tail) & -WORD;
    if (size % WORD !== 0 || length < TRAILER) return undefined;
    const bytes = read({ at: size - length, length });
    const [magic, tableLength, checksum] = new Uint32Array(bytes.buffer, length - TRAILER, TRAILER / WORD);
    if (magic !== MAGIC || tableLength! > size - TRAILER) return undefined;
    const tableAt = size - TRAILER - tableLength!;
    const isInTail = tableLength! + TRAILER <= length;
    const table = isInTail
      ? bytes.subarray(length - TRAILER - tableLength!, length - TRAILER)
      : read({ at: tableAt, length: tableLength! });
    if (quickChecksum(table) !== checksum) return undefined;
    const known = (part: ListingPart) => {
      const from = part.at - (size - length);
      return from < 0 ? read(part) : bytes.subarray(from, from + part.length);
    };
    return new ListingBlocks(JSON.parse(table.toString()) as Table, known);
  }

  private constructor(table: Table, read: (part: ListingPart) => Buffer) {
    this.#table = table;
    let at = 0;
    this.#starts = table.blocks.map(([, length]) => (at += length) - length);
    this.#read = read;
  }

  /** From now on bytes are read by this; one that is damaged is discarded. */
  readBy(read: (part: ListingPart) => Buffer, discard?: () => void): void {
    this.#read = read;
    this.#discard = discard;
  }

  /** Whether the whole was read: then single entries are found there. */
  get isRead(): boolean {
    return this.#entries !== undefined;
  }

  /** @throws STORE_DAMAGED */
  get entries(): readonly LayerEntry[] {
    this.#entries ??= this.#table.blocks.flatMap((_, i) => this.#entriesOf(i));
    this.#found.clear();
    return this.#entries;
  }

  get impliedDirectories(): readonly string[] {
    return this.#table.impliedDirectories;
  }

  /** The entry of that path, without the others being read. @throws STORE_DAMAGED */
  find(path: string): LayerEntry | undefined {
    const { blocks } = this.#table;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comparePaths(blocks[middle]![0], path) <= 0) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return undefined;
    const block = low - 1;
    let found = this.#found.get(block);
    if (!found) {
      found = new Map(this.#entriesOf(block).map((entry) => [entry.path, entry]));
      this.#found.set(block, found);
    }
    return found.get(path);
  }

  #entriesOf(block: number): LayerEntry[] {
    const [, length, checksum] = this.#table.blocks[block]!;
    try {
      const bytes = this.#read({ at: this.#starts[block]!, length });
      if (quickChecksum(bytes) !== checksum) throw new RangeError('a block does not have its checksum');
      return JSON.parse(bytes.toString()) as LayerEntry[];
    } catch (cause) {
      if (!isDamage(cause)) throw cause;
      this.#discard?.();
      throw new BuildError('STORE_DAMAGED', 'the listing of a layer in the store was damaged', {
        cause,
        hint: 'build again: the listing is made anew from the layer',
      });
    }
  }
}
