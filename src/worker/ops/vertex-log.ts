import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { JobContext } from '../../graph/contract.js';
import { digestHex } from '../../oci/digest.js';
import type { LogMask } from '../../secrets/log-mask.js';
import { LastLine } from './last-line.js';

/** Path of the log of a vertex's last run: all its output, both streams as they came, secrets masked. */
export function vertexLogPath(logs: string, vertexDigest: JobContext['vertex']['digest']): string {
  return join(logs, `${digestHex(vertexDigest)}.log`);
}

/** Shows output and keeps it in a file, which exists from the first output on; of secrets neither sees more than a mask. */
export class VertexLog implements Disposable {
  readonly #logs: string;
  readonly #job: JobContext;
  readonly #masks: readonly (LogMask | undefined)[];
  readonly #lastLine = new LastLine();
  #fd: number | undefined;
  #isCut = false;

  /** @param mask makes a mask for each of the two streams */
  constructor(logs: string, job: JobContext, mask: () => LogMask | undefined = () => undefined) {
    this.#logs = logs;
    this.#job = job;
    this.#masks = [mask(), mask()];
  }

  /** A promise where whoever shows the output cannot keep up. */
  write(stream: 1 | 2, data: Uint8Array): void | Promise<void> {
    const mask = this.#masks[stream - 1];
    return this.#keep(stream, mask ? mask.mask(data) : data);
  }

  lastLine(): string {
    return this.#lastLine.text();
  }

  /** Undefined where there was no output. */
  path(): string | undefined {
    return this.#fd === undefined ? undefined : vertexLogPath(this.#logs, this.#job.vertex.digest);
  }

  /** Shows what the masks held back, the start of what might have been a secret. */
  flush(): void {
    for (const stream of [1, 2] as const) {
      const rest = this.#masks[stream - 1]?.end();
      if (rest) void this.#keep(stream, rest);
    }
  }

  [Symbol.dispose](): void {
    this.flush();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #keep(stream: 1 | 2, data: Uint8Array): void | Promise<void> {
    if (data.length === 0) return undefined;
    this.#lastLine.add(data);
    if (!this.#isCut) this.#store(data);
    return this.#job.log(stream, data);
  }

  #store(data: Uint8Array): void {
    try {
      this.#fd ??= this.#open();
      for (let at = 0; at < data.length;) at += writeSync(this.#fd, data, at);
    } catch (error) {
      // A log that cannot be kept must not end the step; a full disk ends it soon enough.
      this.#isCut = true;
      this.#job.note(`the step's log is not kept from here on: ${(error as Error).message}`);
    }
  }

  #open(): number {
    mkdirSync(this.#logs, { recursive: true, mode: 0o700 });
    const path = vertexLogPath(this.#logs, this.#job.vertex.digest);
    // A file of its own: whoever still reads or writes the last run's keeps that one.
    rmSync(path, { force: true });
    const fd = openSync(path, 'w', 0o600);
    this.#job.logFile(path);
    return fd;
  }
}
