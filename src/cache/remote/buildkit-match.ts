import type { Layer, SnapshotResult } from '../../graph/contract.js';
import type { Vertex } from '../../graph/definition.js';
import { createSnapshotResult } from '../../graph/snapshot.js';
import type { Digest } from '../../oci/digest.js';
import type { BuildkitGraph } from './buildkit-graph.js';
import type { BuildkitNode, NodeInput, NodeSource } from './buildkit-node.js';
import type { ForeignCache, ForeignRecord } from './buildkit-config.js';

/**
 * Finds the records of a cache that stand for vertices: a record does where its digest is the vertex's, and each of its inputs
 * links to a record of the vertex's input or of what is read of that.
 */
export class BuildkitMatcher {
  readonly #cache: ForeignCache;
  readonly #graph: BuildkitGraph;
  readonly #byDigest = new Map<Digest, number[]>();

  constructor(cache: ForeignCache, graph: BuildkitGraph) {
    this.#cache = cache;
    this.#graph = graph;
    cache.records.forEach(({ digest }, i) => {
      const same = this.#byDigest.get(digest);
      if (same) same.push(i);
      else this.#byDigest.set(digest, [i]);
    });
  }

  /** The layers of the newest record that stands for the vertex. @param origin of the cache's blobs */
  async find(vertex: Vertex, origin: string): Promise<SnapshotResult | undefined> {
    const matches = await this.#matches({ kind: 'vertex', vertex }, new Map());
    const results = [...matches].flatMap((i) => this.#cache.records[i]!.results);
    const newest = results.toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
    const below = newest.length > 0 ? await this.#graph.layersBelow(vertex) : undefined;
    if (!below) return undefined;
    for (const { layers } of newest) {
      const image = below.image.length;
      const isOnImage = below.image.every(({ diffId }, i) => layers[i]?.diffId === diffId);
      // A result that is not the image with one layer for each step is none of ours, whatever its keys are.
      if (!isOnImage || layers.length !== image + below.made) continue;
      const made = layers.slice(image).map((layer): Layer => ({ ...layer, origin, fromCache: true }));
      return createSnapshotResult([...below.image, ...made]);
    }
    return undefined;
  }

  /** @param known of this search: a stage that many steps read is looked at once */
  async #matches(
    source: NodeSource,
    known: Map<Digest, Promise<ReadonlySet<number>>>,
  ): Promise<ReadonlySet<number>> {
    if (source.kind === 'inner') return this.#matchesOf(source.node, known);
    const { vertex } = source;
    let matches = known.get(vertex.digest);
    if (!matches) {
      matches = this.#graph.node(vertex).then((node) => this.#matchesOf(node, known));
      known.set(vertex.digest, matches);
    }
    return matches;
  }

  async #matchesOf(
    node: BuildkitNode,
    known: Map<Digest, Promise<ReadonlySet<number>>>,
  ): Promise<ReadonlySet<number>> {
    const matches = new Set<number>();
    for (const { digest, inputs } of node) {
      const same = this.#byDigest.get(digest) ?? [];
      let left = new Set(same.filter((i) => this.#cache.records[i]!.inputs.length === inputs.length));
      for (const [i, input] of inputs.entries()) {
        if (left.size === 0) break;
        left = await this.#linked(left, i, input, known);
      }
      for (const i of left) matches.add(i);
    }
    return matches;
  }

  /** Those whose input number `i` links to what the input is. */
  async #linked(
    candidates: ReadonlySet<number>,
    i: number,
    input: NodeInput,
    known: Map<Digest, Promise<ReadonlySet<number>>>,
  ): Promise<Set<number>> {
    const sources = await this.#matches(input.from, known);
    const isLinked = ({ inputs }: ForeignRecord) =>
      inputs[i]!.some(({ link, selector }) => sources.has(link) && selector === input.selector);
    const linked = new Set<number>();
    const others: number[] = [];
    for (const at of candidates) {
      if (isLinked(this.#cache.records[at]!)) linked.add(at);
      else others.push(at);
    }
    if (others.length === 0 || !input.content) return linked;
    const content = await this.#graph.contentRecord(input);
    const roots = new Set(content && this.#byDigest.get(content));
    for (const at of others) {
      const links = this.#cache.records[at]!.inputs[i]!;
      if (links.some(({ link, selector }) => selector === undefined && roots.has(link))) linked.add(at);
    }
    return linked;
  }
}
