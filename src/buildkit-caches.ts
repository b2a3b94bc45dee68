import type { BuildkitGraph } from './cache/remote/buildkit-graph.js';
import type { ImportingRecords } from './cache/remote/cache-import.js';
import type { ContentSelector, Layer, Result } from './graph/contract.js';
import type { Definition, Vertex } from './graph/definition.js';
import { isImageSource, isLocalSource, type SourceOp } from './graph/op.js';
import type { Digest } from './oci/digest.js';
import type { FoundRecord } from './solver/solver.js';

/** Where BuildKit's digests come from. */
export interface DigestSources {
  /** The layers of an image that was resolved, by its identifier. */
  readonly imageLayers: (identifier: string) => Promise<readonly Layer[]>;
  /** Of a part of a context or of layers that are listed; undefined where it cannot be told. */
  readonly contentDigest: (
    of: SourceOp | readonly Layer[],
    selectors: readonly ContentSelector[],
  ) => Promise<Digest | undefined>;
}

/** @param layersOf what a step made, as far as it is known */
export async function openBuildkitGraph(
  definition: Definition,
  { imageLayers, contentDigest }: DigestSources,
  layersOf: (vertex: Vertex) => readonly Layer[] | undefined,
): Promise<BuildkitGraph> {
  const { BuildkitGraph: Graph } = await import('./cache/remote/buildkit-graph.js');
  const ofImage = ({ op }: Vertex) => imageLayers((op as SourceOp).identifier);
  return new Graph(definition, {
    imageLayers: ofImage,
    contentDigest: async (vertex, selectors) => {
      const { op } = vertex;
      if (isLocalSource(op)) return contentDigest(op, selectors);
      const layers = isImageSource(op) ? await ofImage(vertex) : layersOf(vertex);
      return layers && contentDigest(layers, selectors);
    },
  });
}

/** Looks steps up in the records that BuildKit wrote, for one solve of a build. */
export class BuildkitLookup {
  readonly #records: ImportingRecords;
  readonly #sources: DigestSources;
  /** What the inputs of steps are, as far as they were made or found. */
  readonly #results = new Map<Digest, readonly Layer[]>();
  #graph: Promise<BuildkitGraph> | undefined;

  constructor(records: ImportingRecords, sources: DigestSources) {
    this.#records = records;
    this.#sources = sources;
  }

  async find(
    definition: Definition,
    vertex: Vertex,
    inputs: readonly Result[] = [],
  ): Promise<FoundRecord | undefined> {
    if (!(await this.#records.hasForeign())) return undefined;
    for (const [i, result] of inputs.entries())
      if (result.kind === 'snapshot') this.#results.set(vertex.inputs[i]!.vertex, result.layers);
    this.#graph ??= openBuildkitGraph(definition, this.#sources, ({ digest }) => this.#results.get(digest));
    return this.#records.findForeign(vertex, await this.#graph);
  }
}
