import { BuildError, locateError, StepFailures, throwIfAborted } from '../errors.js';
import type {
  CacheMap,
  HeldLock,
  JobContext,
  LockAcquirer,
  LockHolder,
  OpResolver,
  ResolvedOp,
  Result,
  SnapshotResult,
} from '../graph/contract.js';
import type { Definition, Edge, Vertex } from '../graph/definition.js';
import { isListedSource, isLocalSource } from '../graph/op.js';
import { type Digest, digestHex } from '../oci/digest.js';
import { adoptionKey, contentKey, definitionKey, inputContents } from './cache-keys.js';
import type { SolveWitness } from './explainer.js';
import { Lanes, type LaneWidths } from './lanes.js';
import { type ProgressSink, SolveProgress } from './solve-progress.js';
import { rebase, treeKey, type TreeIdentifier } from './tree-keys.js';

/** Where results are found again; records under any key, whole or absent. */
export interface ResultRecords {
  load(key: Digest): FoundRecord | undefined | Promise<FoundRecord | undefined>;
  save(
    key: Digest,
    record: {
      result: SnapshotResult;
      name: string;
      createdAt: string;
      keys: readonly Digest[];
      runMs: number;
    },
  ): void;
  /**
   * What another builder's cache has of a vertex, by its keys. @param inputs results of the vertex's inputs, once they are
   * there; before that a record is found by what is known without them
   */
  findForeign?(
    definition: Definition,
    vertex: Vertex,
    inputs?: readonly Result[],
  ): Promise<FoundRecord | undefined>;
}

export interface FoundRecord {
  readonly result: SnapshotResult;
  /** The remote cache that had it. */
  readonly importedFrom?: string;
}

/** Under which keys a vertex of a finished solve has its result. */
export interface SolvedVertex {
  readonly vertex: Vertex;
  readonly definition: Digest;
  /** The key for a later run that writes the same files. */
  readonly adoption: (result: SnapshotResult) => Digest;
}

export interface SolverOptions {
  readonly resolve: OpResolver;
  readonly records: ResultRecords;
  /** Whether every layer of a recorded result can still be had. A few stats; asks no network. */
  readonly isAvailable: (result: SnapshotResult) => boolean;
  readonly lock: LockAcquirer;
  readonly lanes: LaneWidths;
  readonly onProgress: ProgressSink;
  /** After a failure, what does not depend on it still runs. */
  readonly keepGoing?: boolean;
  /** Lets a step be found on a base whose layers were packed again. */
  readonly identify?: TreeIdentifier;
  /** Hears how each vertex is found or made. */
  readonly witness?: SolveWitness;
}

interface SolveState {
  readonly definition: Definition;
  readonly progress: SolveProgress;
  readonly signal: AbortSignal;
  readonly failures: BuildError[];
  /** Aborts everything with the first error, unless the solver keeps going. */
  readonly fail: (error: BuildError) => void;
  readonly ops: Map<Digest, ResolvedOp>;
  readonly keys: Map<Digest, Promise<VertexKeys>>;
  readonly results: Map<Digest, Promise<readonly Result[]>>;
  /** What is still to be written down of results that others work with already. */
  readonly writing: Promise<void>[];
}

interface VertexKeys {
  readonly cacheMap: CacheMap;
  readonly definition: Digest;
  /** False below a vertex that ignores the cache: what it will hold is unknown until it ran. */
  readonly known: boolean;
}

/**
 * Finds or makes the results of a definition's edges.
 *
 * Each vertex has two promises, each made once. `keys`: the definition key, from the op and the keys of the inputs; no
 * input runs for it. `result`: looked up under the definition key; else, with the inputs' results at hand, under the
 * content key, and under the one over trees; else executed in a lane, under a lock named after the content key so that of several processes one
 * executes and the others find its record. Inputs of a vertex that was found are never demanded.
 *
 * The first failure aborts what runs beside it with that error as the reason; `solve` rejects with it after all of that
 * has ended. With `keepGoing` it does not: all that needs no failed vertex is solved, then `solve` rejects with every failure.
 */
export class Solver {
  readonly #options: SolverOptions;
  readonly #lanes: Lanes;

  constructor(options: SolverOptions) {
    this.#options = options;
    this.#lanes = new Lanes(options.lanes);
  }

  /** Results in the order of `edges`; independent ones are solved at the same time. */
  async solve(
    definition: Definition,
    edges: readonly Edge[],
    signal: AbortSignal,
  ): Promise<{ results: Result[]; stats: SolveStats; solved: SolvedVertex[] }> {
    const controller = new AbortController();
    const abort = () => controller.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    const failures: BuildError[] = [];
    const state: SolveState = {
      definition,
      progress: new SolveProgress(definition, this.#options.onProgress),
      signal: controller.signal,
      failures,
      fail: (error) => {
        failures.push(error);
        if (!this.#options.keepGoing) controller.abort(error);
      },
      ops: new Map(),
      keys: new Map(),
      results: new Map(),
      writing: [],
    };
    try {
      state.progress.announce(edges);
      const settled = await Promise.allSettled(edges.map((edge) => this.#edge(state, edge)));
      await settleAll(state.results);
      await Promise.all(state.writing);
      if (controller.signal.aborted) throw controller.signal.reason;
      if (failures.length > 1) throw new StepFailures(failures);
      if (failures[0]) throw failures[0];
      const results = settled.map((outcome) => {
        if (outcome.status === 'rejected') throw outcome.reason;
        return outcome.value;
      });
      return { results, stats: state.progress.stats(), solved: await solvedVertices(state) };
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async #edge(state: SolveState, edge: Edge): Promise<Result> {
    const outputs = await this.#result(state, vertexOf(state.definition, edge));
    const result = outputs[edge.index];
    if (!result) throw new BuildError('INTERNAL', `vertex ${edge.vertex} has no output ${edge.index}`);
    return result;
  }

  #result(state: SolveState, vertex: Vertex): Promise<readonly Result[]> {
    let result = state.results.get(vertex.digest);
    if (!result) {
      result = this.#solveVertex(state, vertex).catch((error: unknown) => {
        throw this.#failed(state, vertex, error);
      });
      state.results.set(vertex.digest, result);
    }
    return result;
  }

  async #solveVertex(state: SolveState, vertex: Vertex): Promise<readonly Result[]> {
    throwIfAborted(state.signal);
    if (this.#options.keepGoing) await this.#demandIndependent(state, vertex);
    const { cacheMap, definition, known } = await this.#keys(state, vertex);
    const hit = known ? await this.#lookup(definition, state, vertex) : undefined;
    if (hit) return this.#found(state, vertex, hit);
    const foreign = known ? await this.#findForeign(state, vertex) : undefined;
    if (foreign) return this.#found(state, vertex, foreign, [definition], 'definition');
    const inputs = await Promise.all(vertex.inputs.map((edge) => this.#edge(state, edge)));
    const job = state.progress.job(vertex, state.signal);
    const contents = await inputContents(cacheMap, inputs, job);
    this.#options.witness?.demanded(vertex, inputs, contents);
    const content = contentKey(cacheMap, contents);
    const keys = [...new Set([definition, content])];
    const equal = await this.#lookup(content, state, vertex);
    if (equal) return this.#found(state, vertex, equal, keys);
    const other = await this.#findForeign(state, vertex, inputs);
    if (other) return this.#found(state, vertex, other, keys);
    const tree = await this.#treeKey(vertex, job, cacheMap, inputs, contents);
    const twin = tree && (await this.#findTwin(tree, state, vertex, inputs));
    if (twin) return this.#found(state, vertex, twin, keys);
    return this.#execute(state, vertex, job, cacheMap, tree ? [...keys, tree] : keys, content, inputs);
  }

  /** Takes a result that is there, and keeps it under the keys that did not lead to it. */
  #found(
    state: SolveState,
    vertex: Vertex,
    result: SnapshotResult,
    keys?: readonly Digest[],
    by: 'definition' | 'content' = keys ? 'content' : 'definition',
  ): readonly Result[] {
    if (keys) this.#save(keys, vertex, result);
    this.#options.witness?.found(vertex, by);
    state.progress.cached(vertex);
    return [result];
  }

  async #treeKey(
    vertex: Vertex,
    job: JobContext,
    cacheMap: CacheMap,
    inputs: readonly Result[],
    contents: readonly Digest[],
  ): Promise<Digest | undefined> {
    const { identify } = this.#options;
    if (!identify || vertex.op.kind === 'source') return undefined;
    return treeKey(cacheMap, inputs, contents, (result) => identify(result, job));
  }

  /** What an equal step made on a base with the same files in other layers. */
  async #findTwin(
    tree: Digest,
    state: SolveState,
    vertex: Vertex,
    inputs: readonly Result[],
  ): Promise<SnapshotResult | undefined> {
    const found = await this.#lookup(tree, state, vertex);
    return found && rebase(vertex, inputs, found);
  }

  /** A vertex whose keys cannot be told, because one below it fails, still has inputs that can be solved. */
  async #demandIndependent(state: SolveState, vertex: Vertex): Promise<void> {
    await this.#keys(state, vertex).catch(() =>
      Promise.allSettled(vertex.inputs.map((edge) => this.#edge(state, edge))),
    );
  }

  async #execute(
    state: SolveState,
    vertex: Vertex,
    job: JobContext,
    cacheMap: CacheMap,
    keys: readonly Digest[],
    content: Digest,
    inputs: readonly Result[],
  ): Promise<readonly Result[]> {
    const op = this.#op(state, vertex);
    if (isListedSource(vertex.op)) {
      const { outputs, save } = await this.#run(state, vertex, op, job, inputs, cacheMap, keys);
      save();
      return outputs;
    }
    const lock = await this.#lockStep(state, vertex, job, content);
    let unlock = () => lock[Symbol.dispose]();
    try {
      // Another process may have made it since the first look, whether this one had to wait or not.
      const made = await this.#lookup(content, state, vertex);
      if (made) return this.#found(state, vertex, made, keys);
      if (lock.waited && !vertex.options.ignoreCache)
        job.note('the other process did not succeed; running it here');
      const logged = { ...job, logFile: (path: string) => (job.logFile(path), lock.tellLog(path)) };
      const { outputs, save } = await this.#run(state, vertex, op, logged, inputs, cacheMap, keys);
      unlock = () => this.#saveSoon(state, vertex, save, lock);
      return outputs;
    } finally {
      unlock();
    }
  }

  /**
   * Writes a result down and gives its lock away when nothing else is to be done at once: the process of the step that follows has
   * been started by then.
   */
  #saveSoon(state: SolveState, vertex: Vertex, save: () => void, lock: HeldLock): void {
    const written = new Promise<void>((resolve) => {
      setImmediate(() => {
        try {
          using _held = lock;
          save();
        } catch (error) {
          // The vertex is done for those who look on; what fails is the build.
          const { location, name } = vertex.options;
          if (!state.signal.aborted) state.fail(locateError(error, { location, vertex: name }));
        }
        resolve();
      });
    });
    state.writing.push(written);
  }

  /** Of several processes with the same step one has the lock; the others show whose step they wait for, and its output. */
  #lockStep(state: SolveState, vertex: Vertex, job: JobContext, content: Digest): Promise<HeldLock> {
    return this.#options.lock(`solve-${digestHex(content)}`, {
      signal: state.signal,
      purpose: vertex.options.name,
      onWait: (holder) => {
        state.progress.started(vertex);
        job.note(waitingFor(holder));
      },
      onOutput: (data) => void job.log(1, data),
    });
  }

  /** `save` writes down what was made. */
  async #run(
    state: SolveState,
    vertex: Vertex,
    op: ResolvedOp,
    job: JobContext,
    inputs: readonly Result[],
    cacheMap: CacheMap,
    keys: readonly Digest[],
  ): Promise<{ outputs: readonly Result[]; save: () => void }> {
    let runMs = 0;
    const outputs = await this.#lanes.run(op.lane, state.signal, async () => {
      await this.#options.witness?.runs(vertex, job);
      state.progress.started(vertex);
      const startedMs = process.uptime() * 1000;
      const made = await op.exec(job, inputs);
      runMs = Math.round(process.uptime() * 1000 - startedMs);
      return made;
    });
    const [result] = outputs;
    this.#options.witness?.ended(vertex, 'made');
    if (result?.kind !== 'snapshot') {
      state.progress.done(vertex);
      return { outputs, save: () => undefined };
    }
    // The first result that had the same content is taken, so that an equal rerun keeps the image's digest.
    const adoption = vertex.options.ignoreCache ? undefined : adoptionKey(cacheMap, result.contentId);
    const earlier = adoption && (await this.#lookup(adoption));
    const kept = earlier ?? result;
    const all = adoption === undefined || earlier ? keys : [...keys, adoption];
    state.progress.done(vertex);
    return { outputs: [kept], save: () => this.#save(all, vertex, kept, runMs) };
  }

  /** @param vertex whose result is looked for; one that ignores the cache finds none */
  async #lookup(key: Digest, state?: SolveState, vertex?: Vertex): Promise<SnapshotResult | undefined> {
    if (vertex?.options.ignoreCache) return undefined;
    return this.#taken(await this.#options.records.load(key), state, vertex);
  }

  async #findForeign(
    state: SolveState,
    vertex: Vertex,
    inputs?: readonly Result[],
  ): Promise<SnapshotResult | undefined> {
    const { records } = this.#options;
    if (!records.findForeign || vertex.options.ignoreCache || vertex.op.kind === 'source') return undefined;
    return this.#taken(await records.findForeign(state.definition, vertex, inputs), state, vertex);
  }

  #taken(record: FoundRecord | undefined, state?: SolveState, vertex?: Vertex): SnapshotResult | undefined {
    if (!record || !this.#options.isAvailable(record.result)) return undefined;
    if (record.importedFrom !== undefined && state && vertex)
      state.progress.job(vertex, state.signal).note(`imported from ${record.importedFrom}`);
    return record.result;
  }

  #save(keys: readonly Digest[], vertex: Vertex, result: SnapshotResult, runMs = 0): void {
    const record = { result, name: vertex.options.name, createdAt: new Date().toISOString(), keys, runMs };
    for (const key of keys) this.#options.records.save(key, record);
  }

  #keys(state: SolveState, vertex: Vertex): Promise<VertexKeys> {
    let keys = state.keys.get(vertex.digest);
    if (!keys) {
      keys = this.#computeKeys(state, vertex).catch((error: unknown) => {
        throw this.#failed(state, vertex, error);
      });
      state.keys.set(vertex.digest, keys);
    }
    return keys;
  }

  async #computeKeys(state: SolveState, vertex: Vertex): Promise<VertexKeys> {
    const job = state.progress.job(vertex, state.signal);
    const [cacheMap, ...inputs] = await Promise.all([
      this.#op(state, vertex).cacheMap(job),
      ...vertex.inputs.map((edge) => this.#keys(state, vertexOf(state.definition, edge))),
    ]);
    const definitions = inputs.map((input) => input.definition);
    const definition = definitionKey(cacheMap, definitions);
    this.#options.witness?.keyed(vertex, { cacheMap, definition, inputs: definitions });
    const known = inputs.every((input, i) => input.known || cacheMap.deps[i]?.early !== undefined);
    return {
      cacheMap,
      definition,
      known: known && !vertex.options.ignoreCache && !isLocalSource(vertex.op),
    };
  }

  #op(state: SolveState, vertex: Vertex): ResolvedOp {
    let op = state.ops.get(vertex.digest);
    if (!op) {
      op = this.#options.resolve(vertex, state.definition);
      state.ops.set(vertex.digest, op);
    }
    return op;
  }

  /** Reports a vertex's own failure once; what was aborted because of another one is canceled. */
  #failed(state: SolveState, vertex: Vertex, error: unknown): unknown {
    if (state.signal.aborted && (error === state.signal.reason || isAbort(error))) {
      state.progress.canceled(vertex);
      return state.signal.reason;
    }
    if (state.signal.aborted || state.failures.some((failure) => failure === error)) {
      state.progress.canceled(vertex);
      return error;
    }
    this.#options.witness?.ended(vertex, 'failed');
    const located = locateError(error, { location: vertex.options.location, vertex: vertex.options.name });
    state.progress.failed(vertex, located);
    state.fail(located);
    return located;
  }
}

async function solvedVertices({ definition, keys }: SolveState): Promise<SolvedVertex[]> {
  const solved = [...keys].map(async ([digest, promise]) => {
    const { cacheMap, definition: key } = await promise;
    const adoption = (result: SnapshotResult) => adoptionKey(cacheMap, result.contentId);
    return { vertex: definition.vertices.get(digest)!, definition: key, adoption };
  });
  return Promise.all(solved);
}

/** What a solve did. */
export interface SolveStats {
  readonly vertices: number;
  readonly cached: number;
  readonly executed: number;
}

function waitingFor(holder: LockHolder | undefined): string {
  if (holder === undefined) return 'waiting for another tsbuild process that runs the same step';
  const since = new Date(holder.sinceMs).toISOString().replace('T', ' ').slice(0, 19);
  return `waiting for process ${holder.pid}, which runs the same step since ${since} UTC: ${holder.purpose}`;
}

function vertexOf(definition: Definition, edge: Edge): Vertex {
  const vertex = definition.vertices.get(edge.vertex);
  if (!vertex) throw new BuildError('INTERNAL', `the definition lacks vertex ${edge.vertex}`);
  return vertex;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** Waits until nothing runs any more, so that no mount or process outlives the solve. */
async function settleAll(results: Map<Digest, Promise<unknown>>): Promise<void> {
  for (let seen = -1; seen !== results.size;) {
    seen = results.size;
    await Promise.allSettled(results.values());
  }
}
