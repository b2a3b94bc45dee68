import type { ContentSelector, Layer } from '../../graph/contract.js';
import type { Definition, Vertex } from '../../graph/definition.js';
import { isImageSource } from '../../graph/op.js';
import type { Digest } from '../../oci/digest.js';
import { type BuildkitNode, type NodeInput, recordDigest } from './buildkit-node.js';
import { buildkitNode } from './buildkit-vertex.js';

/** What the graph asks of the rest. */
export interface GraphPorts {
  /** The layers of an image that is a vertex. */
  readonly imageLayers: (vertex: Vertex) => Promise<readonly Layer[]>;
  /** What a part of a vertex's result holds; undefined where that is not known, or not now. */
  readonly contentDigest: (
    vertex: Vertex,
    selectors: readonly ContentSelector[],
  ) => Promise<Digest | undefined>;
}

/** The vertices of a build as BuildKit's solver knows them, each made when it is asked for. */
export class BuildkitGraph {
  readonly #definition: Definition;
  readonly #ports: GraphPorts;
  readonly #nodes = new Map<Digest, Promise<BuildkitNode>>();
  readonly #contents = new Map<string, Promise<Digest | undefined>>();

  constructor(definition: Definition, ports: GraphPorts) {
    this.#definition = definition;
    this.#ports = ports;
  }

  node(vertex: Vertex): Promise<BuildkitNode> {
    let node = this.#nodes.get(vertex.digest);
    if (!node) {
      const diffIdsOf = async (image: Vertex) =>
        (await this.#ports.imageLayers(image)).map(({ diffId }) => diffId);
      node = buildkitNode(vertex, this.#definition, diffIdsOf);
      this.#nodes.set(vertex.digest, node);
    }
    return node;
  }

  /** The digest of the record that stands for what is read of an input; asked again as long as it is not known. */
  async contentRecord({ from, content }: NodeInput): Promise<Digest | undefined> {
    if (!content) return undefined;
    if (from.kind === 'inner') return from.content && recordDigest(from.content, -1);
    const { vertex } = from;
    const key = `${vertex.digest} ${JSON.stringify(content)}`;
    // Nobody may come in between where nothing is known: who asks at the same time waits for one answer.
    const asked = this.#contents.get(key);
    const known = asked && (await asked);
    if (known) return known;
    const digest = this.#ports
      .contentDigest(vertex, content)
      .then((found) => found && recordDigest(found, -1));
    this.#contents.set(key, digest);
    return digest;
  }

  /** Layers of the image below, and how many steps above it made one each; undefined where something else is below. */
  async layersBelow(vertex: Vertex): Promise<{ image: readonly Layer[]; made: number } | undefined> {
    let made = 0;
    for (let at = vertex; ; made++) {
      const { op } = at;
      if (op.kind === 'source')
        return isImageSource(op) ? { image: await this.#ports.imageLayers(at), made } : undefined;
      const below = op.kind === 'exec' ? op.root : op.base;
      if (below < 0) return { image: [], made: made + 1 };
      at = this.#definition.vertices.get(at.inputs[below]!.vertex)!;
    }
  }
}
