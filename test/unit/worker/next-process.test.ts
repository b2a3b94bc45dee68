import { expect } from 'chai';
import { setTimeout as delay } from 'node:timers/promises';
import { createVertex, type Definition, type Vertex } from '../../../src/graph/definition.js';
import type { ExecOp } from '../../../src/graph/op.js';
import type { Executor, PreparedProcess } from '../../../src/worker/executor/executor.js';
import { NextProcess } from '../../../src/worker/ops/next-process.js';

const SOON_MS = 20;

describe('what the next process begins with', () => {
  /** Numbers of what was prepared, and of what was ended. */
  let made: number;
  let ended: number[];

  beforeEach(() => {
    made = 0;
    ended = [];
  });

  function open(prepare?: Executor['prepare']): NextProcess {
    const own: Executor['prepare'] = (directories) => {
      const number = ++made;
      return { ...directories, [Symbol.dispose]: () => void ended.push(number) };
    };
    const executor = { name: 'crun', run: () => Promise.reject(new Error('not run')) } as const;
    return new NextProcess({
      createDirectories: () => ({ directory: '/d', memory: '/m' }),
      executor: () => ({ ...executor, prepare: prepare ?? own }),
    });
  }

  function step(name: string, ...inputs: readonly Vertex[]): Vertex {
    const op = { kind: 'exec', args: [name] } as unknown as ExecOp;
    return createVertex(
      op,
      inputs.map(({ digest }) => ({ vertex: digest, index: 0 })),
      { name },
    );
  }

  const definitionOf = (...vertices: readonly Vertex[]): Definition => ({
    vertices: new Map(vertices.map((vertex) => [vertex.digest, vertex])),
    sources: [],
  });

  it('is one thing for the next step, and nothing after the last', async () => {
    using next = open();
    const [a, b] = [step('a'), step('b')];
    const definition = definitionOf(a, b);
    for (const each of [a, b]) next.expect(each);
    expect(next.take(a, definition)).to.equal(undefined);
    for (let i = 0; i < 2; i++) {
      next.prepare();
      await delay(SOON_MS);
    }
    expect(made).to.equal(1);
    expect(next.take(b, definition)).to.include({ directory: '/d' });
    next.prepare();
    await delay(SOON_MS);
    expect([made, ended]).to.deep.equal([1, []]);
  });

  it('is nothing where all that is left was needed by a step that ran', async () => {
    using next = open();
    const a = step('a');
    const b = step('b', a);
    const c = step('c', b);
    const definition = definitionOf(a, b, c);
    for (const each of [a, b, c]) next.expect(each);
    // a and b were found in the cache.
    next.take(c, definition);
    next.prepare();
    await delay(SOON_MS);
    expect(made).to.equal(0);
  });

  it('ends with the build', async () => {
    const next = open();
    const [a, b] = [step('a'), step('b')];
    for (const each of [a, b]) next.expect(each);
    next.take(a, definitionOf(a, b));
    next.prepare();
    await delay(SOON_MS);
    next[Symbol.dispose]();
    expect(ended).to.deep.equal([1]);
    next.prepare();
    await delay(SOON_MS);
    next[Symbol.dispose]();
    expect([made, ended]).to.deep.equal([1, [1]]);
  });

  it('is nothing where it cannot be made', async () => {
    const failing = (): PreparedProcess => {
      throw new Error('no more processes');
    };
    using next = open(failing);
    const [a, b] = [step('a'), step('b')];
    for (const each of [a, b]) next.expect(each);
    next.take(a, definitionOf(a, b));
    next.prepare();
    await delay(SOON_MS);
    expect(next.take(b, definitionOf(a, b))).to.equal(undefined);
  });
});
