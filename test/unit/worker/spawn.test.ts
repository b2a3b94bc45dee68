import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { spawnProgram } from '../../../src/worker/sys/spawn.js';
import { PROJECT } from '../../kit/cli.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('starting a program', () => {
  const env = { PATH: '/usr/bin:/bin', QUOTED: 'a "b" c\nd', UNSET: undefined };

  async function outputOf(script: string, ...args: string[]): Promise<{ exitCode: number; text: string }> {
    const file = join(tmpDir(), 'output');
    const output = openSync(file, 'w');
    const child = spawnProgram('/bin/sh', ['-c', script, 'sh', ...args], {
      env,
      descriptors: [output, output],
    });
    closeSync(output);
    const exitCode = await child.exitCode;
    return { exitCode, text: readFileSync(file, 'utf8') };
  }

  it('gives it arguments and environment as they are, and nothing to read', async () => {
    const { text } = await outputOf('echo "$1|$QUOTED|${UNSET-unset}"; cat; echo end >&2', 'a  b');
    expect(text).to.equal('a  b|a "b" c\nd|unset\nend\n');
  });

  it('gives the exit code, or 128 and the signal', async () => {
    expect((await outputOf('exit 3')).exitCode).to.equal(3);
    expect((await outputOf('kill -9 $$')).exitCode).to.equal(137);
    expect((await outputOf('kill -TERM $$')).exitCode).to.equal(143);
  });

  it('tells of the end of each of many', async () => {
    const codes = Array.from({ length: 20 }, (_, i) => i);
    const outcomes = await Promise.all(
      codes.map((code) => outputOf(`[ ${code} -lt 10 ] || sleep 0.0${code}; exit ${code}`)),
    );
    expect(outcomes.map(({ exitCode }) => exitCode)).to.deep.equal(codes);
  });

  it('starts it in a session of its own, with no descriptor but its own and no signal ignored', async () => {
    const script =
      'ls /proc/$$/fd; grep SigIgn /proc/$$/status; [ $(cut -d" " -f6 /proc/$$/stat) = $$ ] && echo leader';
    const byNode = spawnSync('setsid', ['-w', 'sh', '-c', script], { encoding: 'utf8' }).stdout;
    expect(byNode).to.match(/SigIgn:\t0000000000000000\nleader\n$/);
    expect((await outputOf(script)).text).to.equal(byNode);
  });

  it('kills it, and waits where it must be gone at once', async () => {
    const descriptors = [1, 2];
    const child = spawnProgram('/bin/sleep', ['60'], { env, descriptors });
    child.kill();
    expect(await child.exitCode).to.equal(137);
    child.kill();
    const other = spawnProgram('/bin/sleep', ['60'], { env, descriptors });
    other.killAndWait();
    const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ');
    const names = children.map((pid) => pid && readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
    expect(names).to.not.include('sleep');
  });

  it('fails where there is no such program', async () => {
    const { exitCode } = spawnProgram('/no/such/program', [], { env, descriptors: [1, 2] });
    const error = await exitCode.catch((reason: unknown) => reason);
    expect(error).to.include({ code: 'ENOENT', syscall: 'posix_spawn', path: '/no/such/program' });
  });

  it('works in a thread, which hears of no signals', async () => {
    const code = `
      require('tsx/cjs');
      const { spawnProgram } = require(${JSON.stringify(join(PROJECT, 'src/worker/sys/spawn.ts'))});
      spawnProgram('/bin/sh', ['-c', 'exit 5'], { env: {}, descriptors: [1, 2] })
        .exitCode.then((exitCode) => require('node:worker_threads').parentPort.postMessage(exitCode));`;
    const thread = new Worker(code, { eval: true });
    const exitCode = await new Promise((resolve, reject) => {
      thread.once('message', resolve).once('error', reject);
    });
    await thread.terminate();
    expect(exitCode).to.equal(5);
  });
});
