const KEPT_BYTES = 4096;
const LONGEST = 200;

/** Remembers the end of a stream of output, for a message that says how far a step came. */
export class LastLine {
  #end: Buffer = Buffer.alloc(0);

  add(data: Uint8Array): void {
    const all = data.length >= KEPT_BYTES ? Buffer.from(data) : Buffer.concat([this.#end, data]);
    this.#end = Buffer.from(all.subarray(-KEPT_BYTES));
  }

  /** The last line that is not blank, without control characters; empty where there is none. */
  text(): string {
    const lines = this.#end
      .toString('utf8')
      .split(/[\r\n]+/)
      .map((line) => line.replace(/\x1b\[[0-9;?]*[@-~]|[\x00-\x1f\x7f]/g, '').trim());
    const last = lines.findLast((line) => line !== '') ?? '';
    return last.length > LONGEST ? `${last.slice(0, LONGEST)}…` : last;
  }
}
