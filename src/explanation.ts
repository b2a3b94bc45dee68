/**
 * Why a step was found in the cache or had to run: plain data for displays, `--explain=json` and `tsbuild why`. Values of
 * variables that look like secrets never get here.
 */
export type Explanation = Hit | Miss;

export interface Hit {
  readonly outcome: 'hit';
  /**
   * `definition`: nothing that takes part in the key changed. `content`: an input was made in another way, and holds the
   * same files (early cutoff).
   */
  readonly key: 'definition' | 'content';
  /** What changed without being part of the key. */
  readonly asides: readonly ValueChange[];
  /** As in {@link Miss}. */
  readonly comparedWith?: string;
}

export interface Miss {
  readonly outcome: 'miss';
  /** What differs from the nearest earlier build of the step; never empty. */
  readonly changes: readonly Change[];
  /** When that one was, milliseconds since the epoch. */
  readonly comparedToMs?: number;
  /** Where that one was, when it was in another place: a checkout at another path. */
  readonly comparedWith?: string;
}

export type Change =
  | FilesChange
  | ValueChange
  | InputChange
  /** A flag asked for it. */
  | { readonly kind: 'ignored'; readonly flag: string }
  /** There is nothing to compare with; `isAdded`: the other steps of its stage were built before. */
  | { readonly kind: 'first'; readonly isAdded: boolean }
  /** Nothing differs, but the step failed when it ran. */
  | { readonly kind: 'failed'; readonly atMs: number }
  /** Nothing differs, but its record or its layer is not in the store any more. */
  | { readonly kind: 'lost'; readonly madeAtMs: number; readonly prunedAtMs?: number };

/** Files that the step reads. */
export interface FilesChange {
  readonly kind: 'files';
  /** Where they are: `the build context`. */
  readonly place: string;
  /** The first few, files before directories. Empty where the earlier listing is gone. */
  readonly files: readonly FileChange[];
  /** How many differ; 0 where the earlier listing is gone. */
  readonly total: number;
  /** All differ in their mode and in nothing else. */
  readonly isModeOnly: boolean;
}

export interface FileChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What of a changed file differs. */
  readonly fields: readonly FieldChange[];
}

export interface FieldChange {
  readonly field: 'type' | 'content' | 'mode' | 'owner' | 'link target' | 'device' | 'xattr';
  /** Which extended attributes. */
  readonly names?: readonly string[];
  readonly before?: string;
  readonly after?: string;
}

/** A part of the instruction: `ARG VERSION`, `command`, `base image`, `platform`. */
export interface ValueChange {
  readonly kind: 'value';
  readonly name: string;
  /** Left out where it did not exist, or must not be shown. */
  readonly before?: string;
  readonly after?: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** What people are often surprised by. */
  readonly remark?: string;
}

/** An earlier step whose result this one uses. */
export interface InputChange {
  readonly kind: 'input';
  /** Name of that step. */
  readonly step: string;
  /** What stood in its place before, when it is another instruction. */
  readonly insteadOf?: string;
  /** It ran in this build, and was explained itself. */
  readonly ran: boolean;
  /** Why it differs, as far as the step reads it. */
  readonly changes: readonly Change[];
}
