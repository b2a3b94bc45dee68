import { expect } from 'chai';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Layer } from '../../src/graph/contract.js';
import type { WaitingRuntime } from '../../src/worker/executor/bundle.js';
import type { Executor, PreparedProcess, ProcessSpec } from '../../src/worker/executor/executor.js';
import { createExecutor } from '../../src/worker/executor/select-executor.js';
import { OverlayRoots } from '../../src/worker/snapshot/overlay.js';
import { enterMountNamespace } from '../../src/worker/sys/namespaces.js';
import { SparePipes } from '../../src/worker/sys/pipe.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { runCommand, TSBUILD } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { longSleep, pipesOfThisProcess, processesWith, signalOnce, until } from '../kit/machine-state.js';
import { findProgram, needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const never = new AbortController().signal;

describe('a crun that waits for its process', () => {
  const work = tmpDir();
  const spares = new SparePipes();
  let executor: Executor;
  let overlays: OverlayRoots;
  let pipes: string[];

  before(function () {
    needs(this, 'mounts', { program: 'crun' }, { program: 'busybox' });
    const base = makeBaseRootfs();
    executor = createExecutor({ name: 'crun', program: findProgram('crun')! }, tmpDir());
    overlays = new OverlayRoots({ work, layers: { directory: () => Promise.resolve(base) } });
    enterMountNamespace();
  });

  beforeEach(() => {
    pipes = pipesOfThisProcess();
  });

  afterEach(async () => {
    expect(processesWith(work)).to.deep.equal([]);
    // The pipes of a process are closed a moment after it, and those of the next one made.
    await until(() => pipesOfThisProcess().length <= pipes.length + SPARE_ENDS);
  });

  after(() => {
    spares[Symbol.dispose]();
    return overlays?.close();
  });

  const SPARE_ENDS = 4;

  /** Its arguments are there a moment after it was started. */
  async function prepare(): Promise<PreparedProcess> {
    const prepared = executor.prepare!(overlays.createDirectories(), spares)!;
    await until(() => waitingIn(prepared).length === 1);
    return prepared;
  }

  async function run(prepared: PreparedProcess, script: string, env: readonly string[] = []) {
    await using root = await overlays.mount([{} as Layer], never, { directories: prepared });
    let output = '';
    const spec: ProcessSpec = {
      rootfs: root.path,
      directory: root.directory,
      memory: root.memory,
      args: ['/bin/sh', '-c', script],
      env: ['PATH=/bin', ...env],
      cwd: '/',
      uid: 0,
      gid: 0,
      additionalGids: [],
      hostname: 'builder',
      network: 'host',
      security: 'sandbox',
      mounts: [],
      rlimits: [],
    };
    const onOutput = (_: 1 | 2, data: Uint8Array) => void (output += Buffer.from(data).toString());
    const { exitCode } = await executor.run(spec, { onOutput, spares, prepared }, never);
    return { exitCode, output };
  }

  const waitingIn = ({ memory }: PreparedProcess) => processesWith(memory);

  it('is the one that runs it', async () => {
    using prepared = await prepare();
    const waiting = waitingIn(prepared);
    const running = run(prepared, 'echo begun; sleep 0.3');
    await delay(150);
    expect(waitingIn(prepared)).to.deep.equal(waiting);
    expect(await running).to.deep.equal({ exitCode: 0, output: 'begun\n' });
  });

  it('gives the process no other descriptor than its three', async () => {
    using prepared = await prepare();
    // ls has the directory open itself.
    expect((await run(prepared, 'ls /proc/self/fd')).output.split('\n')).to.deep.equal([
      '0',
      '1',
      '2',
      '3',
      '',
    ]);
    using other = await prepare();
    expect((await run(other, 'readlink /proc/$$/fd/3; echo $?')).output).to.equal('1\n');
  });

  it('is gone with its pipes where no process comes', async () => {
    const prepared = await prepare();
    prepared[Symbol.dispose]();
    expect(waitingIn(prepared)).to.deep.equal([]);
    prepared[Symbol.dispose]();
  });

  it('is replaced by another one where the config is more than a pipe holds', async () => {
    using prepared = await prepare();
    const long = 'x'.repeat(100_000);
    expect(await run(prepared, 'echo ${#LONG}', [`LONG=${long}`])).to.deep.equal({
      exitCode: 0,
      output: '100000\n',
    });
  });

  it('never finds a config that it is not to run', async () => {
    using prepared = (await prepare()) as WaitingRuntime;
    // One that reads meanwhile may take all of it.
    for (const pid of waitingIn(prepared)) process.kill(pid, 'SIGSTOP');
    expect(prepared.take('x'.repeat(100_000))).to.equal(undefined);
    expect(waitingIn(prepared)).to.deep.equal([]);
    expect(readdirSync(prepared.memory)).to.include('log').and.not.include('config.json');
  });

  it('is replaced by another one where something has ended it', async () => {
    using prepared = await prepare();
    for (const pid of waitingIn(prepared)) process.kill(pid, 'SIGKILL');
    await until(() => waitingIn(prepared).length === 0);
    expect(await run(prepared, 'echo here')).to.deep.equal({ exitCode: 0, output: 'here\n' });
  });

  it('ends by itself where tsbuild was killed', async () => {
    const root = tmpDir();
    const base = join(tmpDir(), 'base.tar');
    const context = makeContext({
      Dockerfile: `FROM scratch\nADD base.tar /\nRUN ${longSleep(1)}\nRUN true\n`,
    });
    await runCommand('tar', ['-C', makeBaseRootfs(), '-cf', base, '.'], {});
    writeFileSync(join(context, 'base.tar'), readFileSync(base));
    const waiting = () => processesWith(root).filter(isWaiting);
    const { onStart } = signalOnce('SIGKILL', () => waiting().length === 1);
    await runCommand(TSBUILD, [context], {
      env: { TSBUILD_ROOT: root, TSBUILD_EXECUTOR: 'crun' },
      onStart,
    });
    await until(() => waiting().length === 0);
    // The next command ends the step itself.
    await runCommand(TSBUILD, ['du'], { env: { TSBUILD_ROOT: root } });
    await delay(100);
    expect(processesWith(root)).to.deep.equal([]);
  });
});

/** Has read no config, and has its pipe open. */
function isWaiting(pid: number): boolean {
  try {
    return (
      readlinkSync(`/proc/${pid}/fd/3`).startsWith('pipe:') &&
      /crun/.test(readFileSync(`/proc/${pid}/comm`, 'utf8'))
    );
  } catch {
    return false;
  }
}
