import type { ContentSelector } from '../../graph/contract.js';
import type { Vertex } from '../../graph/definition.js';
import { type Digest, digestOf } from '../../oci/digest.js';
import type { Platform } from '../../oci/platform.js';
import { orNothing } from './go-json.js';

/**
 * A vertex as BuildKit's solver knows it, in each form that a record of it can have: an image has several, and a RUN has other
 * ones in other versions of BuildKit. One without a form has no record, but what reads it can have one by what it reads.
 */
export type BuildkitNode = readonly NodeForm[];

export interface NodeForm {
  /** Of the record. */
  readonly digest: Digest;
  readonly inputs: readonly NodeInput[];
}

export interface NodeInput {
  readonly from: NodeSource;
  /** Which part is read, in the link to a record of the input. */
  readonly selector?: Digest;
  /** The part whose content stands for the input as well. */
  readonly content?: readonly ContentSelector[];
}

export type NodeSource =
  | { readonly kind: 'vertex'; readonly vertex: Vertex }
  /** What BuildKit has as an operation of its own and we do not. `content` of its one file. */
  | { readonly kind: 'inner'; readonly node: BuildkitNode; readonly content?: Digest };

/** The digest that a record has: of one output of an operation, or with -1 of the content of an input. */
export function recordDigest(digest: Digest, output: number): Digest {
  return digestOf(`${digest}@${output}`);
}

export function platformMembers(platform: Platform | undefined) {
  return {
    OS: platform?.os,
    Arch: platform?.architecture,
    Variant: orNothing(platform?.variant),
    OSVersion: orNothing(platform?.['os.version']),
    OSFeatures: orNothing(platform?.['os.features']),
  };
}
