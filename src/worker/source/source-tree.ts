import type { Digest } from '../../oci/digest.js';
import type { LayerEntry } from '../snapshot/layer-index.js';
import type { FileContent } from '../snapshot/layer-writer.js';

/**
 * What COPY and ADD read from: a local directory or the layers of a snapshot. Paths are relative and clean, '' is the root;
 * what an ignore pattern hides is not there.
 */
export interface SourceTree {
  /** For errors: what it is, such as `the build context "/src"`. */
  readonly place: string;
  /** The entry at `path`, a link not followed. */
  lookup(path: string): LayerEntry | undefined;
  /** Names in a directory, sorted. */
  list(path: string): readonly string[];
  /** `path` with all links resolved inside the root, the last one too when `followLast`. */
  resolve(path: string, followLast: boolean): string;
  /** Digest of a file's bytes; a promise where they have to be read. Computed once and remembered where it can be. */
  digest(path: string, entry: LayerEntry): Digest | Promise<Digest>;
  /** Where a file's bytes are. */
  content(path: string, entry: LayerEntry): FileContent;
  /** Equal for names of one inode; undefined for a file with one name. */
  inode(path: string, entry: LayerEntry): string | undefined;
  /** For errors: why `path` is not there, when an ignore pattern is the reason. */
  hiddenBy(path: string): string | undefined;
}
