import type { ContextEntry } from '../../kit/context.js';

/** One Dockerfile with its context and options. `base` is the image of test/kit/base-image.ts. */
export interface OwnCase {
  readonly name: string;
  /** The feature that it shows, with the section of the Dockerfile reference or of the rules. */
  readonly row: string;
  readonly dockerfile: string;
  readonly files?: Readonly<Record<string, ContextEntry>>;
  /** A shell script run in the context before the build: archives, hard links, special modes. */
  readonly prepare?: string;
  readonly options?: readonly string[];
  /** Environment of the builder's command line. */
  readonly env?: Readonly<Record<string, string>>;
  readonly expect?: 'fails';
  /** What of it the recorded builder is too old for; it is built, and compared with nothing. */
  readonly newer?: string;
}

/** What a build gave; `tree` has the paths that differ from the base image, null for those that are gone. */
export interface BuiltImage {
  readonly tree: Readonly<Record<string, string | null>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly history: readonly string[];
  readonly layers: number;
}

export type Result = { readonly fails: true } | BuiltImage;

export interface Recorded {
  readonly builder: string;
  readonly platform: string;
  readonly cases: Readonly<Record<string, Result>>;
}

export const keyOf = (ownCase: OwnCase): string => `${ownCase.row}: ${ownCase.name}`;

/** The options of the builder: nothing of another case may be used again. */
export function optionsOf({ options = [] }: OwnCase): readonly string[] {
  return options.includes('--no-cache-filter') ? options : ['--no-cache', ...options];
}
