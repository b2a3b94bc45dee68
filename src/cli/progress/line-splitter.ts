import { StringDecoder } from 'node:string_decoder';

/** A line that is longer comes in several, so that a gigabyte without a line end needs no gigabyte of memory. */
const LONGEST_LINE = 64 * 1024;

/** Output in parts as lines of text; characters that two parts share stay whole. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  #partial = '';

  /** The lines that `data` ends, without their line ends. */
  add(data: Uint8Array): string[] {
    const lines = (this.#partial + this.#decoder.write(Buffer.from(data))).split('\n');
    this.#partial = lines.pop()!;
    if (this.#partial.length >= LONGEST_LINE) {
      lines.push(this.#partial);
      this.#partial = '';
    }
    return lines;
  }

  /** What stands after the last line end; empty afterwards. */
  rest(): string {
    const rest = this.#partial + this.#decoder.end();
    this.#partial = '';
    return rest;
  }
}
