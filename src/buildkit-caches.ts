import type { BuildkitGraph } from './cache/remote/buildkit-graph.js';
import type { ImportingRecords } from './cache/remote/cache-import.js';
import type { ContentSelector, Layer, Result } from './graph/contract.js';
import type { Definition, Vertex } from './graph/definition.js';
import type { SourceOp } from './graph/op.js';
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
      if (op.kind === 'source' && op.identifier.startsWith('local://')) return contentDigest(op, selectors);
      const isImage = op.kind === 'source' && /^(docker-image|oci-layout):/.test(op.identifier);
      const layers = isImage ? await ofImage(vertex) : layersOf(vertex);
      return layers && contentDigest(layers, selectors);
    },
  });
}

interface Search {
  readonly graph: Promise<BuildkitGraph>;
  /** What the inputs of steps are, as far as they were made or found. */
  readonly results: Map<Digest, readonly Layer[]>;
}

/** Looks steps up in the records that BuildKit wrote. */
export class BuildkitLookup {
  readonly #records: ImportingRecords;
  readonly #sources: DigestSources;
  readonly #searches = new Map<Definition, Search>();

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
    const known = inputs.flatMap((result, i) =>
      result.kind === 'snapshot' ? [[vertex.inputs[i]!.vertex, result.layers] as const] : [],
    );
    const search = this.#searchWith(definition, known);
    for (const [digest, layers] of known) search.results.set(digest, layers);
    return this.#records.findForeign(vertex, await search.graph);
  }

  /** One search for a solve; a build that starts again may have other results, and what was learned of the first ones is void. */
  #searchWith(definition: Definition, known: readonly (readonly [Digest, readonly Layer[]])[]): Search {
    const before = this.#searches.get(definition);
    const isOther = ([digest, layers]: readonly [Digest, readonly Layer[]]) => {
      const earlier = before?.results.get(digest);
      return earlier !== undefined && !isSame(earlier, layers);
    };
    if (before && !known.some(isOther)) return before;
    const results = new Map<Digest, readonly Layer[]>();
    const graph = openBuildkitGraph(definition, this.#sources, ({ digest }) => results.get(digest));
    const search = { graph, results };
    this.#searches.set(definition, search);
    return search;
  }
}

function isSame(one: readonly Layer[], other: readonly Layer[]): boolean {
  return one.length === other.length && one.every(({ diffId }, i) => diffId === other[i]!.diffId);
}
