import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { JobContext } from '../../graph/contract.js';
import { digestHex } from '../../oci/digest.js';
import { LastLine } from './last-line.js';

/** Path of the log of a vertex's last run: all its output, both streams as they came. */
export function vertexLogPath(logs: string, vertexDigest: JobContext['vertex']['digest']): string {
  return join(logs, `${digestHex(vertexDigest)}.log`);
}

/** Shows output and keeps it in a file, which exists from the first output on. */
export class VertexLog implements Disposable {
  readonly #logs: string;
  readonly #job: JobContext;
  readonly #lastLine = new LastLine();
  #fd: number | undefined;
  #isCut = false;

  constructor(logs: string, job: JobContext) {
    this.#logs = logs;
    this.#job = job;
  }

  write(stream: 1 | 2, data: Uint8Array): void {
    this.#job.log(stream, data);
    this.#lastLine.add(data);
    if (this.#isCut) return;
    try {
      this.#fd ??= this.#open();
      for (let at = 0; at < data.length;) at += writeSync(this.#fd, data, at);
    } catch (error) {
      // A log that cannot be kept must not end the step; a full disk ends it soon enough.
      this.#isCut = true;
      this.#job.note(`the step's log is not kept from here on: ${(error as Error).message}`);
    }
  }

  lastLine(): string {
    return this.#lastLine.text();
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
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
