import type { FileIdentity } from '../../worker/sys/file-rows.js';
import { PathLog } from './path-log.js';

/** A second write within the clock's tick shows in no time stamp. */
const RACY_MS = 2000;
/** The check of more of them is no longer quick. */
const MOST_LOOKS = 2_000_000;
/** So many have room in any heap. */
const FEW_LOOKS = 200_000;
/** What is known of a look, several times over while it is written. */
const BYTES_OF_LOOK = 2048;

/**
 * All that a process looked at, as far as it decides what the process does; and what it did. Whatever is not understood makes it
 * unrepeatable, and nothing is kept from then on.
 */
export class Observation {
  /** Of links themselves. */
  readonly links = new PathLog();
  /** Links followed. */
  readonly files = new PathLog();
  /** Sizes of blobs of the store, whose names tell what they hold. */
  readonly blobs = new Map<string, number>();
  /** Texts of files of the store that get a new time with each use. */
  readonly texts = new Map<string, string>();
  /** What symbolic links say. */
  readonly targets = new Map<string, string>();
  /** Variables of the environment that were asked for. */
  readonly variables = new Map<string, string | undefined>();
  /** Files of the store that were marked as used. */
  readonly touched = new Set<string>();
  readonly #startedMs: number;
  #reason: string | undefined;
  #mostLooks: number | undefined;

  constructor(startedMs = Date.now()) {
    this.#startedMs = startedMs;
  }

  /** Why the process is unrepeatable. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** What was seen until then is forgotten: of many files it takes megabytes. */
  unrepeatable(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.links.clear();
    this.files.clear();
  }

  /** `stat` as it was before the file was read; undefined for what is not there. */
  see(how: 'link' | 'file', path: string, stat: FileIdentity | undefined): void {
    if (this.#reason !== undefined) return;
    const log = how === 'link' ? this.links : this.files;
    log.add(path, stat);
    if (stat) this.#check(path, Math.max(stat.mtimeMs, stat.ctimeMs), log);
  }

  /** The same from a row of `file-rows.ts`. */
  seeRow(how: 'link' | 'file', path: string, rows: Float64Array, at: number): void {
    if (this.#reason !== undefined) return;
    const log = how === 'link' ? this.links : this.files;
    log.addRow(path, rows, at);
    this.#check(path, Math.max(rows[at + 1]!, rows[at + 2]!), log);
  }

  #check(path: string, changedMs: number, { size }: PathLog): void {
    if (changedMs > this.#startedMs - RACY_MS) this.unrepeatable(`"${path}" is young`);
    if (size > FEW_LOOKS && size > (this.#mostLooks ??= mostLooks())) this.unrepeatable('too many files');
  }
}

/** A build that is done must not fail for what is kept of it. */
function mostLooks(): number {
  const { heap_size_limit: heapBytes } = process.getBuiltinModule('node:v8').getHeapStatistics();
  return Math.min(MOST_LOOKS, heapBytes / BYTES_OF_LOOK);
}
