import type { BuildOptions } from '../../../src/index.js';
import type { ContextEntry } from '../../kit/context.js';

/** A build, an edit, and what the second build does. */
export interface CacheCase {
  readonly title: string;
  readonly dockerfile: string;
  readonly files?: Readonly<Record<string, ContextEntry>>;
  readonly options?: Partial<BuildOptions>;
  readonly edit: CacheEdit;
  /** Instructions that run again, in any order; all others are cached. */
  readonly runs: readonly string[];
  /** `instruction: reason`, each line that the second build says. Digests are cut to `sha256:…`, times to `TIME`, paths to `PLACE`. */
  readonly says: readonly string[];
  /** BuildKit runs more than that. */
  readonly beatsBuildKit?: true;
}

export interface CacheEdit {
  /** Replacements in the Dockerfile: text, new text. */
  readonly dockerfile?: Readonly<Record<string, string>>;
  /** Files that are written anew; undefined removes. */
  readonly files?: Readonly<Record<string, ContextEntry | undefined>>;
  readonly modes?: Readonly<Record<string, number>>;
  /** Files whose times are set to now. */
  readonly touched?: readonly string[];
  /** Files that get this content with the size and mtime of the old one. */
  readonly disguised?: Readonly<Record<string, string>>;
  /** Archives of `files`, packed again with other times. */
  readonly options?: Partial<BuildOptions>;
  /** The tag `base` moves to this image of the template store. */
  readonly base?: 'base-retimed' | 'base-changed';
  /** The context is copied to another directory. */
  readonly moves?: true;
  /** All records are lost. */
  readonly losesRecords?: true;
}
