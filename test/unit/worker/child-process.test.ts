import { expect } from 'chai';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { startProcess } from '../../../src/worker/executor/child-process.js';
import type { ProcessIo } from '../../../src/worker/executor/executor.js';

describe('a child and its output', () => {
  async function run(script: string, onChunk?: (text: string) => void | Promise<void>) {
    const output = { 1: '', 2: '' };
    const io: ProcessIo = {
      onOutput: (stream, data) => {
        const text = Buffer.from(data).toString();
        output[stream] += text;
        return onChunk?.(text);
      },
    };
    const child = startProcess('/bin/sh', ['-c', script], io, '/dev/null');
    return { exitCode: await child.exitCode, ...output };
  }

  const pipesOfThisProcess = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith('pipe:');
      } catch {
        return false;
      }
    });

  it('has all of it when the child has ended, each stream for itself', async () => {
    const { exitCode, ...output } = await run('seq 100000; echo wrong >&2');
    expect(exitCode).to.equal(0);
    expect(output[1].length).to.equal(588_895);
    expect(output[1].endsWith('\n100000\n')).to.equal(true);
    expect(output[2]).to.equal('wrong\n');
  });

  it('gives each child the pipes of the one before, without its output', async () => {
    const inodes = 'stat -Lc %i /proc/$$/fd/1 /proc/$$/fd/2 | sort';
    const [first, second] = [await run(inodes), await run(inodes)];
    expect(first[1]).to.match(/^\d+\n\d+\n$/);
    expect(second).to.deep.equal(first);
  });

  it('gives no pipes of a child that failed, since another process may have them', async () => {
    const failed = await run('echo begin; (sleep 0.3; echo late; echo late >&2) & exit 3');
    const next = await run('sleep 0.6; echo end');
    expect(failed).to.deep.equal({ exitCode: 3, 1: 'begin\n', 2: '' });
    expect(next).to.deep.equal({ exitCode: 0, 1: 'end\n', 2: '' });
  });

  it('lets no child have what another did to its end of a pipe', async () => {
    const flags = 'grep flags /proc/$$/fdinfo/1; stat -Lc "%a %u %g" /proc/$$/fd/1';
    const before = await run(flags);
    const group = process.getegid!() === 0 ? 1 : process.getegid!();
    // Node gives a descriptor its flags back unless it is killed.
    const program = `
      process.stdout._handle.setBlocking(false);
      require("fs").writeSync(1, require("fs").readFileSync("/proc/self/fdinfo/1"));
      process.kill(process.pid, "SIGKILL");`;
    const set = await run(`node -e '${program}'; chmod 640 /proc/$$/fd/1; chgrp ${group} /proc/$$/fd/1`);
    expect(set[1]).to.match(/flags:\t\d*4001\n/);
    expect(await run(flags)).to.deep.equal(before);
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

  it('gives each of many at once pipes of its own', async () => {
    const numbers = Array.from({ length: 12 }, (_, i) => i);
    for (let round = 0; round < 2; round++) {
      const outputs = await Promise.all(
        numbers.map((number) => run(`seq ${number} 5000; echo ${number} >&2`)),
      );
      for (const [i, output] of outputs.entries()) {
        expect(output[1].startsWith(`${i}\n`)).to.equal(true);
        expect(output[1].split('\n')).to.have.length(5002 - i);
        expect(output[2]).to.equal(`${i}\n`);
      }
    }
  });

  it('keeps no pipe that nobody takes', async () => {
    await run('true');
    const kept = pipesOfThisProcess();
    await delay(1500);
    expect(kept.length - pipesOfThisProcess().length).to.be.at.least(4);
  });
});
