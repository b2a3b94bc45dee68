import { expect } from 'chai';
import { setTimeout as sleep } from 'node:timers/promises';
import { BuildError, type StepFailures } from '../../../src/errors.js';
import type { CacheMapDep, Layer, ResolvedOp, Result, SnapshotResult } from '../../../src/graph/contract.js';
import { createVertex, type Definition, type Edge, type Vertex } from '../../../src/graph/definition.js';
import { createSnapshotResult } from '../../../src/graph/snapshot.js';
import { type Digest, digestOf } from '../../../src/oci/digest.js';
import type { ProgressEvent } from '../../../src/progress.js';
import { Solver } from '../../../src/solver/solver.js';
import { codeOf } from '../../kit/code-of.js';

/**
 * Arithmetic in place of builds: a vertex adds a number to the sum of its inputs, its "layers" hold the sum, and every
 * execution is counted by the vertex's name.
 */
interface Arithmetic {
  readonly name: string;
  readonly add: number;
  readonly inputs?: readonly Vertex[];
  readonly ignoreCache?: boolean;
  /** Takes the place of input 0's key. */
  readonly early?: string;
  /** The only part of input 0 that is read: its sum modulo this. */
  readonly modulo?: number;
  /** Different text, equal sum. */
  readonly revision?: number;
}

const specs = new Map<Digest, Arithmetic>();

function vertex(spec: Arithmetic): Vertex {
  const args = [
    spec.name,
    String(spec.add),
    String(spec.revision ?? 0),
    spec.early ?? '',
    String(spec.modulo ?? ''),
  ];
  const made = createVertex(
    {
      kind: 'exec',
      root: -1,
      args,
      env: [],
      cwd: '/',
      user: '',
      network: 'default',
      security: 'sandbox',
      mounts: [],
      platform: { os: 'linux', architecture: 'amd64' },
    },
    (spec.inputs ?? []).map((input) => ({ vertex: input.digest, index: 0 })),
    { name: spec.name, ...(spec.ignoreCache ? { ignoreCache: true } : {}) },
  );
  specs.set(made.digest, spec);
  return made;
}

function sumOf(result: Result | undefined): number {
  if (result?.kind !== 'snapshot') return 0;
  return Number(result.layers[0]!.createdAt);
}

function resultOf(sum: number, salt: string): SnapshotResult {
  const layer: Layer = {
    diffId: digestOf(`${sum} ${salt}`),
    contentDigest: digestOf(String(sum)),
    createdAt: String(sum),
  };
  return createSnapshotResult([layer]);
}

class Bench {
  readonly records = new Map<Digest, { result: SnapshotResult; name: string }>();
  readonly counts = new Map<string, number>();
  readonly events: ProgressEvent[] = [];
  running = 0;
  widest = 0;
  hook: ((name: string, signal: AbortSignal) => Promise<void>) | undefined;

  /** What the cache of another builder has, by the names of vertices. */
  readonly foreign = new Map<string, Result>();
  /** By which key a vertex was found. */
  readonly found = new Map<string, string>();
  keepGoing = false;
  /** The vertex whose result cannot be written down. */
  unsaved: string | undefined;
  /** Vertices whose lock was given away, and whether their results could be found then. */
  readonly unlocked: string[] = [];
  /** The vertex whose keys cannot be told. */
  keyless: string | undefined;

  async solve(
    heads: readonly Vertex[],
    signal = new AbortController().signal,
  ): Promise<{ sums: number[]; results: Result[] }> {
    this.counts.clear();
    const solver = new Solver({
      resolve: (v) => this.#resolve(v),
      records: {
        load: (key) => this.records.get(key),
        save: (key, record) => {
          if (record.name === this.unsaved) throw new BuildError('DISK_FULL', 'nothing is written');
          this.records.set(key, record);
        },
        findForeign: async (_definition, { options }, inputs) => {
          const result = this.foreign.get(options.name);
          const isAsked = options.name.startsWith('late') === (inputs !== undefined);
          return result?.kind === 'snapshot' && isAsked ? { result, importedFrom: 'elsewhere' } : undefined;
        },
      },
      witness: {
        keyed: () => undefined,
        demanded: () => undefined,
        runs: async () => undefined,
        ended: () => undefined,
        found: ({ options }, key) => void this.found.set(options.name, key),
      },
      isAvailable: () => true,
      lock: async (_name, options) => ({
        waited: false,
        tellLog: () => undefined,
        [Symbol.dispose]: () => {
          const vertex = options?.purpose;
          const isSaved = [...this.records.values()].some(({ name }) => name === vertex);
          this.unlocked.push(`${vertex} ${isSaved ? 'saved' : 'not saved'}`);
        },
      }),
      lanes: { exec: 2, network: 2, disk: 2 },
      onProgress: (event) => this.events.push(event),
      keepGoing: this.keepGoing,
    });
    const definition = definitionOf(heads);
    const edges: Edge[] = heads.map((head) => ({ vertex: head.digest, index: 0 }));
    const { results } = await solver.solve(definition, edges, signal);
    return { sums: results.map(sumOf), results };
  }

  #resolve(v: Vertex): ResolvedOp {
    const spec = specs.get(v.digest)!;
    const deps: CacheMapDep[] = (spec.inputs ?? []).map((_, i) => {
      if (i === 0 && spec.early !== undefined) return { early: digestOf(spec.early) };
      if (i === 0 && spec.modulo !== undefined) {
        return { contentDigest: async (input) => digestOf(String(sumOf(input) % spec.modulo!)) };
      }
      return {};
    });
    return {
      lane: 'exec',
      cacheMap: async () => {
        if (spec.name === this.keyless) throw new BuildError('COPY_SOURCE_NOT_FOUND', spec.name);
        return { digest: digestOf(`add ${spec.add} ${spec.revision ?? 0}`), deps };
      },
      exec: async (job, inputs) => {
        this.counts.set(spec.name, (this.counts.get(spec.name) ?? 0) + 1);
        this.running += 1;
        this.widest = Math.max(this.widest, this.running);
        try {
          await this.hook?.(spec.name, job.signal);
        } finally {
          this.running -= 1;
        }
        const sum = inputs.reduce((total, input) => total + sumOf(input), spec.add);
        return [resultOf(sum, String(Math.random()))];
      },
    };
  }

  ran(): string[] {
    return [...this.counts.keys()].sort();
  }
}

function definitionOf(heads: readonly Vertex[]): Definition {
  const vertices = new Map<Digest, Vertex>();
  const visit = (v: Vertex) => {
    vertices.set(v.digest, v);
    specs.get(v.digest)!.inputs?.forEach(visit);
  };
  heads.forEach(visit);
  return { vertices, sources: [] };
}

describe('solver', () => {
  it('executes each reachable vertex once, shared inputs too', async () => {
    const bench = new Bench();
    const base = vertex({ name: 'base', add: 1 });
    const left = vertex({ name: 'left', add: 10, inputs: [base] });
    const right = vertex({ name: 'right', add: 100, inputs: [base] });
    const head = vertex({ name: 'head', add: 1000, inputs: [left, right] });
    const { sums } = await bench.solve([head, left]);
    expect(sums).to.deep.equal([1112, 11]);
    expect(Object.fromEntries(bench.counts)).to.deep.equal({ base: 1, left: 1, right: 1, head: 1 });
  });

  it('finds everything under definition keys the second time and executes nothing', async () => {
    const bench = new Bench();
    const base = vertex({ name: 'base', add: 1 });
    const head = vertex({ name: 'head', add: 2, inputs: [base] });
    const first = await bench.solve([head]);
    bench.events.length = 0;
    const second = await bench.solve([head]);
    expect(bench.ran()).to.deep.equal([]);
    expect(second.results).to.deep.equal(first.results);
    expect(bench.events.filter((event) => event.kind === 'cached')).to.have.length(2);
  });

  it('stops a rerun at the first vertex whose content stayed the same', async () => {
    const bench = new Bench();
    const chain = (revision: number) => {
      const base = vertex({ name: 'base', add: 1, revision });
      const middle = vertex({ name: 'middle', add: 2, inputs: [base] });
      return vertex({ name: 'head', add: 3, inputs: [middle] });
    };
    const before = await bench.solve([chain(0)]);
    const after = await bench.solve([chain(1)]);
    expect(bench.ran()).to.deep.equal(['base']);
    expect(after.results).to.deep.equal(before.results);
  });

  it('reruns only what reads the part of an input that changed', async () => {
    const bench = new Bench();
    const chain = (add: number) => {
      const base = vertex({ name: 'base', add });
      return vertex({ name: 'parity', add: 0, inputs: [base], modulo: 2 });
    };
    await bench.solve([chain(1)]);
    await bench.solve([chain(3)]);
    expect(bench.ran()).to.deep.equal(['base']);
    await bench.solve([chain(4)]);
    expect(bench.ran()).to.deep.equal(['base', 'parity']);
  });

  it('takes an early content digest in place of the input, which is then not demanded', async () => {
    const bench = new Bench();
    const chain = (add: number, early: string) =>
      vertex({ name: 'copy', add: 0, early, inputs: [vertex({ name: 'context', add })] });
    await bench.solve([chain(1, 'a')]);
    await bench.solve([chain(2, 'a')]);
    expect(bench.ran()).to.deep.equal([]);
    await bench.solve([chain(2, 'b')]);
    expect(bench.ran()).to.deep.equal(['context', 'copy']);
  });

  it('keeps the earlier result when a rerun has the same content', async () => {
    const bench = new Bench();
    const make = (revision: number) =>
      vertex({ name: 'v', add: 5, inputs: [vertex({ name: 'in', add: 1, revision })] });
    const first = await bench.solve([make(0)]);
    for (const key of [...bench.records.keys()])
      if (bench.records.get(key)!.name === 'v') bench.records.delete(key);
    const rerun = await bench.solve([make(0)]);
    expect(bench.ran()).to.deep.equal(['v']);
    expect((rerun.results[0] as SnapshotResult).contentId).to.equal(
      (first.results[0] as SnapshotResult).contentId,
    );
  });

  it('executes a vertex that ignores the cache, and below it only what differs', async () => {
    const bench = new Bench();
    const chain = (ignoreCache: boolean) => {
      const base = vertex({ name: 'base', add: 7, ignoreCache });
      return vertex({ name: 'head', add: 1, inputs: [base] });
    };
    await bench.solve([chain(false)]);
    await bench.solve([chain(true)]);
    expect(bench.ran()).to.deep.equal(['base']);
  });

  it('runs at most as many vertices at once as the lane is wide', async () => {
    const bench = new Bench();
    bench.hook = () => sleep(10);
    const parts = [1, 2, 3, 4, 5].map((add) => vertex({ name: `p${add}`, add }));
    await bench.solve([vertex({ name: 'sum', add: 0, inputs: parts })]);
    expect(bench.widest).to.equal(2);
  });

  it('fails with the first error, cancels the sibling and waits for it to end', async () => {
    const bench = new Bench();
    let siblingEnded = false;
    bench.hook = async (name, signal) => {
      if (name === 'bad') {
        await sleep(5);
        throw new BuildError('RUN_FAILED', 'exit code: 3');
      }
      try {
        await sleep(10_000, undefined, { signal });
      } finally {
        siblingEnded = true;
      }
    };
    const head = vertex({
      name: 'head',
      add: 0,
      inputs: [vertex({ name: 'bad', add: 31 }), vertex({ name: 'slow', add: 32 })],
    });
    const error = await bench.solve([head]).then(
      () => undefined,
      (reason: unknown) => reason as BuildError,
    );
    expect(error?.code).to.equal('RUN_FAILED');
    expect(error?.vertex).to.equal('bad');
    expect(siblingEnded).to.equal(true);
    expect(bench.events.filter((event) => event.kind === 'failed')).to.have.length(1);
    expect(bench.events.filter((event) => event.kind === 'canceled')).to.have.length(1);
  });

  for (const keepGoing of [false, true]) {
    it(`reports a failure to tell keys at the vertex that has it${keepGoing ? ', as one that keeps going' : ''}`, async () => {
      const bench = new Bench();
      bench.keepGoing = keepGoing;
      bench.keyless = 'base';
      const base = vertex({ name: 'base', add: 61 });
      const head = vertex({
        name: 'head',
        add: 1,
        inputs: [vertex({ name: 'middle', add: 1, inputs: [base] })],
      });
      const error = await bench.solve([head]).catch((reason: unknown) => reason as BuildError);
      expect((error as BuildError).vertex).to.equal('base');
      const failed = bench.events.flatMap((event) => (event.kind === 'failed' ? [event.digest] : []));
      expect(failed).to.deep.equal([base.digest]);
    });
  }

  it('that keeps going solves what needs no failed vertex, and rejects with each failure once', async () => {
    const bench = new Bench();
    bench.keepGoing = true;
    bench.hook = async (name) => {
      await sleep(name === 'slow' ? 20 : 1);
      if (name.startsWith('bad')) throw new BuildError('RUN_FAILED', name);
    };
    const bad = vertex({ name: 'bad', add: 51 });
    const slow = vertex({ name: 'slow', add: 52 });
    const heads = [
      vertex({ name: 'left', add: 1, inputs: [bad, slow] }),
      vertex({ name: 'right', add: 2, inputs: [bad, vertex({ name: 'bad too', add: 53 })] }),
    ];
    const error = await bench.solve(heads).catch((reason: unknown) => reason as StepFailures);
    expect((error as StepFailures).failures.map((failure) => failure.vertex)).to.have.members([
      'bad',
      'bad too',
    ]);
    expect(bench.ran()).to.deep.equal(['bad', 'bad too', 'slow']);
    expect(bench.events.filter((event) => event.kind === 'failed')).to.have.length(2);
    bench.hook = undefined;
    await bench.solve(heads);
    expect(bench.ran()).to.not.contain('slow');
  });

  it('ends with the reason of an abort from outside', async () => {
    const bench = new Bench();
    const controller = new AbortController();
    bench.hook = async (_name, signal) => {
      controller.abort(new BuildError('INTERRUPTED', 'interrupted'));
      await sleep(10_000, undefined, { signal });
    };
    const error = await bench
      .solve([vertex({ name: 'v', add: 77 })], controller.signal)
      .catch((reason: unknown) => reason);
    expect((error as BuildError).code).to.equal('INTERRUPTED');
  });

  it('gives the lock of a vertex away when its result is written down', async () => {
    const bench = new Bench();
    const a = vertex({ name: 'a', add: 41 });
    await bench.solve([vertex({ name: 'b', add: 42, inputs: [a] })]);
    expect(bench.unlocked).to.deep.equal(['a saved', 'b saved']);
  });

  for (const keepGoing of [false, true]) {
    it(`fails where a result cannot be written down${keepGoing ? ', as one that keeps going' : ''}`, async () => {
      const bench = new Bench();
      bench.keepGoing = keepGoing;
      bench.unsaved = 'last';
      const first = vertex({ name: 'first', add: 43 });
      const last = vertex({ name: 'last', add: 44, inputs: [first] });
      expect(await codeOf(bench.solve([last]))).to.equal('DISK_FULL');
      expect(bench.unlocked).to.deep.equal(['first saved', 'last not saved']);
      const ends = bench.events.filter(({ kind }) => ['done', 'failed', 'canceled'].includes(kind));
      expect(ends.map(({ kind }) => kind)).to.deep.equal(['done', 'done']);
    });
  }

  it('keeps what was done before a failure', async () => {
    const bench = new Bench();
    const base = vertex({ name: 'base', add: 41 });
    const head = vertex({ name: 'head', add: 1, inputs: [base] });
    bench.hook = async (name) => {
      if (name === 'head') throw new BuildError('RUN_FAILED', 'no');
    };
    await bench.solve([head]).catch(() => undefined);
    bench.hook = undefined;
    await bench.solve([head]);
    expect(bench.ran()).to.deep.equal(['head']);
  });

  it('takes a step of another builder’s cache for a proof of its inputs, or of what they hold', async () => {
    const bench = new Bench();
    const base = vertex({ name: 'base', add: 1 });
    const early = vertex({ name: 'early', add: 2, inputs: [base] });
    bench.foreign.set('early', resultOf(3, 'x'));
    await bench.solve([early]);
    expect(bench.ran()).to.deep.equal([]);
    expect([...bench.found]).to.deep.equal([['early', 'definition']]);

    const late = vertex({ name: 'late', add: 4, inputs: [base] });
    bench.foreign.set('late', resultOf(5, 'y'));
    bench.found.clear();
    await bench.solve([late]);
    expect(bench.ran()).to.deep.equal(['base']);
    expect([...bench.found]).to.deep.equal([['late', 'content']]);
  });
});
