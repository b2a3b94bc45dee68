import type { SourceLocation } from './errors.js';
import type { Explanation } from './explanation.js';

/**
 * The side stream of a build. Every event is plain data, but for `hold`; `digest` names the vertex it belongs to, `atMs` is the clock
 * (milliseconds since the epoch). A vertex goes announced -> started -> (cached | done | failed | canceled); a cached
 * vertex may skip `started`. What is announced and never demanded ends in no state at all.
 */
export type ProgressEvent =
  | VertexAnnounced
  | { readonly kind: 'started'; readonly digest: string; readonly atMs: number }
  | { readonly kind: 'cached'; readonly digest: string; readonly atMs: number }
  | { readonly kind: 'done'; readonly digest: string; readonly atMs: number }
  | {
      readonly kind: 'failed';
      readonly digest: string;
      readonly atMs: number;
      readonly message: string;
      readonly logPath?: string;
    }
  | { readonly kind: 'canceled'; readonly digest: string; readonly atMs: number }
  | {
      readonly kind: 'log';
      readonly digest: string;
      readonly atMs: number;
      readonly stream: 1 | 2;
      /** Valid while the listener runs. */
      readonly data: Uint8Array;
      /** Stops the step until the promise is settled, so that a slow reader of its output needs no memory here. */
      readonly hold?: (until: Promise<void>) => void;
    }
  | TransferProgress
  | ExplainedEvent
  | { readonly kind: 'note'; readonly digest?: string; readonly atMs: number; readonly message: string }
  | WarningEvent;

export interface VertexAnnounced {
  readonly kind: 'announced';
  readonly digest: string;
  readonly atMs: number;
  /** As shown: `[builder 2/5] RUN make`. */
  readonly name: string;
  readonly stage?: string;
  readonly inputs: readonly string[];
  readonly location?: SourceLocation;
}

/** Why a step is cached or runs: before it ends, for the first steps that run, and with `explain` for all. */
export interface ExplainedEvent {
  readonly kind: 'explained';
  readonly digest: string;
  readonly atMs: number;
  readonly explanation: Explanation;
  /** The same in one line for people. */
  readonly text: string;
}

/** One row of a download, an upload, an unpacking or an export; repeated with a growing `currentBytes`. */
export interface TransferProgress {
  readonly kind: 'transfer';
  readonly digest: string;
  readonly atMs: number;
  /** Unique inside the vertex, for example a layer's digest. */
  readonly id: string;
  /** What goes on: `downloading`, `extracting`, `pushing`, `writing`. */
  readonly action: string;
  readonly currentBytes: number;
  readonly totalBytes?: number;
  readonly finished: boolean;
}

export interface WarningEvent {
  readonly kind: 'warning';
  readonly atMs: number;
  /** Name of the rule, where a rule found it. */
  readonly rule?: string;
  readonly message: string;
  /** What the rule wants, in one sentence. */
  readonly detail?: string;
  /** Where the rule has its page. */
  readonly url?: string;
  readonly location?: SourceLocation;
}

export type ProgressListener = (event: ProgressEvent) => void;

/** `512B`, `1.5MB` (powers of ten, as Docker shows). */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)}${units[unit]}`;
}
