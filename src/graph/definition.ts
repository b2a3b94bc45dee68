import type { SourceLocation } from '../errors.js';
import { type Digest, digestOfJson } from '../oci/digest.js';
import type { Op } from './op.js';

/** Output `index` of a vertex; every op of this version has the one output 0. */
export interface Edge {
  readonly vertex: Digest;
  readonly index: number;
}

/** What a vertex carries beside its meaning: nothing here is part of its digest or of a cache key. */
export interface VertexOptions {
  /** As shown: `[builder 2/5] RUN make`. */
  readonly name: string;
  readonly location?: SourceLocation;
  readonly ignoreCache?: boolean;
  /** The flag that says so. */
  readonly ignoreCacheFlag?: string;
  /** Names of the ARGs in scope, which look like ENVs to a process. */
  readonly argNames?: readonly string[];
  readonly stage?: string;
  /** Position that stays the same from build to build: `stage name or index` and the instruction's number in it. */
  readonly position?: string;
  /** `K=V` of proxy variables that RUN gets without having them in its key. */
  readonly proxyEnv?: readonly string[];
  /** Of an image: what its name stands for in the registry, which is the index where the image has several platforms. */
  readonly imageDigest?: Digest;
  /** `host:ip`, whose addresses are not in the key. */
  readonly extraHosts?: readonly string[];
}

export interface Vertex {
  readonly digest: Digest;
  readonly op: Op;
  readonly inputs: readonly Edge[];
  readonly options: VertexOptions;
}

/** A Dockerfile's text, for excerpts. */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/** The DAG, closed: every edge's vertex is in `vertices`. */
export interface Definition {
  readonly vertices: ReadonlyMap<Digest, Vertex>;
  readonly sources: readonly SourceFile[];
}

/** Digest of an op over its inputs: equal work, equal vertex. */
export function createVertex(op: Op, inputs: readonly Edge[], options: VertexOptions): Vertex {
  const digest = digestOfJson({ op, inputs: inputs.map((edge) => [edge.vertex, edge.index]) });
  return { digest, op, inputs, options };
}
