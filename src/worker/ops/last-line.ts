import { TailBuffer } from './tail-buffer.js';

const KEPT_BYTES = 4096;
const LONGEST = 200;

/** Remembers the end of a stream of output, for a message that says how far a step came. */
export class LastLine {
  readonly #end = new TailBuffer(KEPT_BYTES);

  add(data: Uint8Array): void {
    this.#end.add(data);
  }

  /** The last line that is not blank, without control characters; empty where there is none. */
  text(): string {
    const lines = this.#end
      .text()
      .split(/[\r\n]+/)
      .map((line) => line.replace(/\x1b\[[0-9;?]*[@-~]|[\x00-\x1f\x7f]/g, '').trim());
    const last = lines.findLast((line) => line !== '') ?? '';
    return last.length > LONGEST ? `${last.slice(0, LONGEST)}…` : last;
  }
}
