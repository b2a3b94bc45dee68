import type { BuildError } from '../errors.js';
import type { JobContext } from '../graph/contract.js';
import type { Definition, Edge, Vertex } from '../graph/definition.js';
import { isLocalSource } from '../graph/op.js';
import type { Digest } from '../oci/digest.js';
import type { ProgressEvent } from '../progress.js';
import type { SolveStats } from './solver.js';

export type ProgressSink = (event: ProgressEvent) => void;

type State = 'announced' | 'started' | 'cached' | 'done' | 'failed' | 'canceled';

/** Turns what happens to vertices into progress events, each state once. */
export class SolveProgress {
  readonly #definition: Definition;
  readonly #emit: ProgressSink;
  readonly #states = new Map<Digest, State>();
  readonly #logs = new Map<Digest, string>();

  constructor(definition: Definition, emit: ProgressSink) {
    this.#definition = definition;
    this.#emit = emit;
  }

  /** Announces what `edges` can reach, inputs before consumers. */
  announce(edges: readonly Edge[]): void {
    for (const edge of edges) this.#announce(edge.vertex);
  }

  #announce(digest: Digest): void {
    const vertex = this.#definition.vertices.get(digest);
    if (!vertex || this.#states.has(digest)) return;
    this.#states.set(digest, 'announced');
    for (const edge of vertex.inputs) this.#announce(edge.vertex);
    const { name, stage, location } = vertex.options;
    this.#emit({
      kind: 'announced',
      digest,
      atMs: Date.now(),
      name,
      inputs: vertex.inputs.map((edge) => edge.vertex),
      ...(stage === undefined ? {} : { stage }),
      ...(location === undefined ? {} : { location }),
    });
  }

  /** Once: a vertex that waited for another process has started already. */
  started(vertex: Vertex): void {
    if (this.#states.get(vertex.digest) === 'started') return;
    this.#enter(vertex, 'started', { kind: 'started', digest: vertex.digest, atMs: Date.now() });
  }

  done(vertex: Vertex): void {
    this.#enter(vertex, 'done', { kind: 'done', digest: vertex.digest, atMs: Date.now() });
  }

  /** Marks the vertex and all that only it would have needed: a hit proves its inputs as well. */
  cached(vertex: Vertex): void {
    for (const edge of vertex.inputs) {
      const input = this.#definition.vertices.get(edge.vertex);
      if (input && !isLocalSource(input.op) && this.#states.get(input.digest) === 'announced')
        this.cached(input);
    }
    this.#enter(vertex, 'cached', { kind: 'cached', digest: vertex.digest, atMs: Date.now() });
  }

  failed(vertex: Vertex, error: BuildError): void {
    const logPath = this.#logs.get(vertex.digest);
    this.#enter(vertex, 'failed', {
      kind: 'failed',
      digest: vertex.digest,
      atMs: Date.now(),
      message: error.message,
      ...(logPath === undefined ? {} : { logPath }),
    });
  }

  canceled(vertex: Vertex): void {
    if (this.#states.get(vertex.digest) !== 'started') return;
    this.#enter(vertex, 'canceled', { kind: 'canceled', digest: vertex.digest, atMs: Date.now() });
  }

  job(vertex: Vertex, signal: AbortSignal): JobContext {
    const { digest } = vertex;
    return {
      vertex,
      signal,
      log: (stream, data) => {
        let held: Promise<void> | undefined;
        const hold = (until: Promise<void>) => {
          held = until;
        };
        this.#emit({ kind: 'log', digest, atMs: Date.now(), stream, data, hold });
        return held;
      },
      transfer: (row) => this.#emit({ kind: 'transfer', digest, atMs: Date.now(), ...row }),
      note: (message) => this.#emit({ kind: 'note', digest, atMs: Date.now(), message }),
      logFile: (path) => void this.#logs.set(digest, path),
    };
  }

  stats(): SolveStats {
    const states = [...this.#states.values()];
    return {
      vertices: states.length,
      cached: states.filter((state) => state === 'cached').length,
      executed: states.filter((state) => state === 'done').length,
    };
  }

  #enter(vertex: Vertex, state: State, event: ProgressEvent): void {
    this.#states.set(vertex.digest, state);
    this.#emit(event);
  }
}
