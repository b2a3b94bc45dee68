import type { Vertex } from '../../graph/definition.js';
import type { ReadContents } from '../cache-records.js';
import type { Digest } from '../../oci/digest.js';
import type { BuildkitGraph } from './buildkit-graph.js';
import type { BuildkitNode, NodeInput, NodeSource } from './buildkit-node.js';
import type { ConfigLayer, ConfigRecord } from './cache-config.js';

/** A step, and the result that its record shall give. */
export interface RecordedStep {
  readonly vertex: Vertex;
  /** What is known of an earlier time of what the step read. */
  readonly contents?: ReadContents | undefined;
  readonly createdAt: string;
  /** Base first, as the cache holds them. */
  readonly layers: readonly {
    readonly blob: Digest;
    readonly annotations?: NonNullable<ConfigLayer['annotations']>;
  }[];
}

export interface WrittenRecords {
  readonly layers: readonly ConfigLayer[];
  readonly records: readonly ConfigRecord[];
  /** What each vertex read, where it is known. */
  readonly contents: ReadonlyMap<Digest, ReadContents>;
}

type Links = { readonly selector?: string; readonly link: number }[];

/**
 * The records of steps, each after those that it links to, and their layers. A step of which nothing tells what it read has no
 * record. What ran first does not show in the order.
 */
export async function writeRecords(
  steps: readonly RecordedStep[],
  graph: BuildkitGraph,
): Promise<WrittenRecords> {
  const writer = new RecordWriter(steps, graph);
  const vertices = steps.map(({ vertex }) => vertex);
  for (const vertex of vertices.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)))
    await writer.add({ kind: 'vertex', vertex });
  return writer.written();
}

class RecordWriter {
  readonly #steps: ReadonlyMap<Digest, RecordedStep>;
  readonly #graph: BuildkitGraph;
  readonly #records: ConfigRecord[] = [];
  readonly #layers: ConfigLayer[] = [];
  readonly #places = new Map<string, number>();
  readonly #contents = new Map<Digest, (Digest | null)[]>();
  readonly #ofVertex = new Map<Digest, Promise<readonly number[]>>();

  constructor(steps: readonly RecordedStep[], graph: BuildkitGraph) {
    this.#steps = new Map(steps.map((step) => [step.vertex.digest, step]));
    this.#graph = graph;
  }

  written(): WrittenRecords {
    return { layers: this.#layers, records: this.#records, contents: this.#contents };
  }

  async add(source: NodeSource): Promise<readonly number[]> {
    if (source.kind === 'inner') return this.#addNode(source.node);
    const { vertex } = source;
    let places = this.#ofVertex.get(vertex.digest);
    if (!places) {
      places = this.#graph.node(vertex).then((node) => this.#addNode(node, vertex));
      this.#ofVertex.set(vertex.digest, places);
    }
    return places;
  }

  /** Places of the node's records. */
  async #addNode(node: BuildkitNode, vertex?: Vertex): Promise<readonly number[]> {
    const result = vertex && this.#steps.get(vertex.digest);
    const places: number[] = [];
    for (const { digest, inputs: reads } of node) {
      const inputs: Links[] = [];
      for (const [i, input] of reads.entries()) {
        const content = (await this.#graph.contentRecord(input)) ?? (input.content && result?.contents?.[i]);
        inputs.push(await this.#links(input, content));
        if (vertex && content) this.#keepContent(vertex, i, content);
      }
      if (inputs.some((links) => links.length === 0)) continue;
      const layer = result && this.#chain(result);
      const given = layer === undefined ? undefined : { layer, createdAt: result!.createdAt };
      places.push(this.#place({ digest, inputs }, given));
    }
    return places;
  }

  async #links(input: NodeInput, content: Digest | null | undefined): Promise<Links> {
    const { selector } = input;
    const records = await this.add(input.from);
    const links: Links = records.map((link) => ({ ...(selector === undefined ? {} : { selector }), link }));
    if (content) links.push({ link: this.#place({ digest: content, inputs: [] }) });
    return links;
  }

  #keepContent(vertex: Vertex, i: number, content: Digest): void {
    const contents = this.#contents.get(vertex.digest) ?? [];
    while (contents.length <= i) contents.push(null);
    contents[i] = content;
    this.#contents.set(vertex.digest, contents);
  }

  #place(
    { digest, inputs }: { digest: Digest; inputs: readonly Links[] },
    result?: { layer: number; createdAt: string },
  ): number {
    const key = JSON.stringify([digest, inputs]);
    const known = this.#places.get(key);
    if (known !== undefined) return known;
    const record: ConfigRecord = {
      ...(result ? { layers: [result] } : {}),
      digest,
      ...(inputs.length > 0 ? { inputs } : {}),
    };
    const place = this.#records.push(record) - 1;
    this.#places.set(key, place);
    return place;
  }

  /** The place of the chain's last layer. Equal starts of chains are written once. */
  #chain({ layers }: RecordedStep): number | undefined {
    let parent = -1;
    for (const layer of layers) {
      const key = `${parent} ${layer.blob}`;
      parent = this.#places.get(key) ?? this.#layers.push({ ...layer, parent }) - 1;
      this.#places.set(key, parent);
    }
    return parent < 0 ? undefined : parent;
  }
}
