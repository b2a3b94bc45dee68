import { expect } from 'chai';
import { setTimeout as delay } from 'node:timers/promises';
import { startProcess } from '../../../src/worker/executor/child-process.js';
import { SparePipes } from '../../../src/worker/sys/pipe.js';
import { pipesOfThisProcess } from '../../kit/machine-state.js';

describe('a child and its output', () => {
  const before = pipesOfThisProcess();
  let spares: SparePipes;

  beforeEach(() => {
    spares = new SparePipes();
  });

  afterEach(async () => {
    spares[Symbol.dispose]();
    // One that was to be made a moment later is not.
    await delay(20);
    expect(pipesOfThisProcess()).to.deep.equal(before);
  });

  async function run(script: string, onChunk?: (text: string) => void | Promise<void>) {
    const output = { 1: '', 2: '' };
    const onOutput = (stream: 1 | 2, data: Uint8Array) => {
      const text = Buffer.from(data).toString();
      output[stream] += text;
      return onChunk?.(text);
    };
    const child = startProcess('/bin/sh', ['-c', script], { onOutput, spares }, '/dev/null');
    return { exitCode: await child.exitCode, ...output };
  }

  it('has all of it when the child has ended, each stream for itself', async () => {
    for (let i = 0; i < 3; i++) {
      const { exitCode, ...output } = await run('seq 100000; echo wrong >&2');
      expect(exitCode).to.equal(0);
      expect(output[1].length).to.equal(588_895);
      expect(output[1].endsWith('\n100000\n')).to.equal(true);
      expect(output[2]).to.equal('wrong\n');
    }
  });

  it('makes the pipes of the next child while one runs', async () => {
    await run('sleep 0.2');
    await delay(20);
    const made = pipesOfThisProcess();
    await run('sleep 0.2');
    await delay(20);
    expect(made.length - before.length).to.equal(4);
    expect(pipesOfThisProcess()).to.have.length(made.length);
  });

  it('makes none when no child is to come', async () => {
    const running = run('true');
    spares[Symbol.dispose]();
    await running;
    await delay(20);
    expect(pipesOfThisProcess()).to.deep.equal(before);
  });

  it('does not read for ever what outlives a child', async () => {
    const child = run('yes & echo $!');
    const { exitCode, ...output } = await child;
    process.kill(Number(/\d+/.exec(output[1])![0]), 'SIGKILL');
    expect(exitCode).to.equal(0);
  });

  it('gives each child pipes of its own', async () => {
    const inodes = 'stat -Lc %i /proc/$$/fd/1 /proc/$$/fd/2; sleep 0.1';
    const outputs = [
      await run(inodes),
      await run(inodes),
      ...(await Promise.all([run(inodes), run(inodes)])),
    ];
    const numbers = outputs.flatMap((output) => output[1].trim().split('\n'));
    expect(new Set(numbers)).to.have.property('size', 8);
  });

  it('does not take what outlives a child for the output of the next one', async () => {
    const first = await run('echo begin; (sleep 0.4; echo late; echo late >&2) & exit 3');
    const next = await run('sleep 0.6; echo end');
    expect(first).to.deep.equal({ exitCode: 3, 1: 'begin\n', 2: '' });
    expect(next).to.deep.equal({ exitCode: 0, 1: 'end\n', 2: '' });
  });

  it('waits for who takes the output, also for what is left when the child has ended', async () => {
    let isBusy = false;
    let calledWhileBusy = 0;
    let largest = 0;
    const { exitCode, ...output } = await run('seq 200000', async (text) => {
      if (isBusy) calledWhileBusy += 1;
      isBusy = true;
      largest = Math.max(largest, text.length);
      await delay(2);
      isBusy = false;
    });
    expect([exitCode, calledWhileBusy]).to.deep.equal([0, 0]);
    expect(output[1].length).to.equal(1_288_895);
    expect(largest).to.be.at.most(1 << 16);
  });

  it('gives each of many at once its own output', async () => {
    const numbers = Array.from({ length: 12 }, (_, i) => i);
    const outputs = await Promise.all(numbers.map((number) => run(`seq ${number} 5000; echo ${number} >&2`)));
    for (const [i, output] of outputs.entries()) {
      expect(output[1].startsWith(`${i}\n`)).to.equal(true);
      expect(output[1].split('\n')).to.have.length(5002 - i);
      expect(output[2]).to.equal(`${i}\n`);
    }
  });
});
