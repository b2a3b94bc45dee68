import { expect } from 'chai';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContentStore } from '../../src/cache/content-store.js';
import { openStateRoot } from '../../src/cache/state-root.js';
import type { JobContext, SnapshotResult } from '../../src/graph/contract.js';
import {
  createVertex,
  type Definition,
  type Vertex,
  type VertexOptions,
} from '../../src/graph/definition.js';
import type { ExecOp } from '../../src/graph/op.js';
import { createSnapshotResult } from '../../src/graph/snapshot.js';
import { digestHex, digestOf } from '../../src/oci/digest.js';
import { hostPlatform } from '../../src/oci/platform.js';
import { createLockAcquirer } from '../../src/worker/sys/flock.js';
import { NextProcess } from '../../src/worker/ops/next-process.js';
import { createExecutorSelector } from '../../src/worker/executor/select-executor.js';
import { createExecOp, type ExecOpDeps } from '../../src/worker/ops/exec-op.js';
import { BuildLimits } from '../../src/worker/cgroup/build-limits.js';
import { BuildNetworks } from '../../src/worker/network/build-network.js';
import { LayerStore } from '../../src/worker/snapshot/layer-store.js';
import { OverlayRoots } from '../../src/worker/snapshot/overlay.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { codeOf } from '../kit/code-of.js';
import { leftInWork } from '../kit/left-in-work.js';
import { until } from '../kit/machine-state.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const CREATED_AT = '2024-01-01T00:00:00Z';

describe('RUN', () => {
  const state = openStateRoot(tmpDir());
  const layers = new LayerStore({
    lock: createLockAcquirer(state.locks),
    state,
    content: new ContentStore(state.content),
    fetchBlob: () => Promise.reject(new Error('nothing to fetch')),
  });
  const overlays = new OverlayRoots({ work: state.work, layers });
  const networks = new BuildNetworks({ createDirectory: () => overlays.createDirectory() });
  const executor = createExecutorSelector(state.filters);
  const next = new NextProcess({ executor, createDirectories: () => overlays.createDirectories() });
  const deps: ExecOpDeps = {
    overlays,
    networks,
    limits: new BuildLimits({ step: {}, build: {}, createDirectory: () => overlays.createDirectory() }),
    layers,
    executor,
    next,
    logs: state.logs,
    cacheMounts: state.mounts,
    lock: createLockAcquirer(state.locks),
    secret: () => undefined,
    sshSocket: async () => undefined,
    timeLimits: {},
    logMask: () => undefined,
    failureCare: {
      directory: state.failed,
      exports: [],
      places: { secrets: {}, ssh: {} },
      search: () => undefined,
    },
  };
  let base: SnapshotResult;

  before(async function () {
    needs(this, 'mounts', { program: 'crun' }, { program: 'busybox' });
    const upper = makeBaseRootfs(join(mkdirFor('base'), 'rootfs'));
    base = createSnapshotResult([await layers.commitDirectory({ upper }, [], CREATED_AT)]);
  });

  afterEach(async () => {
    await networks.close();
    // A moment after the step, beside the next one.
    await until(() => leftInWork(state.work).length === 0);
    expect(leftInWork(state.work)).to.deep.equal([]);
  });

  after(() => {
    next[Symbol.dispose]();
    return overlays.close();
  });

  function mkdirFor(name: string): string {
    const dir = join(state.path, name);
    mkdirSync(join(dir, 'rootfs'), { recursive: true });
    return dir;
  }

  function execOp(script: string, more: Partial<ExecOp> = {}): ExecOp {
    return {
      kind: 'exec',
      root: 0,
      args: ['/bin/sh', '-c', script],
      env: ['PATH=/bin'],
      cwd: '/',
      user: '',
      network: 'default',
      security: 'sandbox',
      mounts: [],
      platform: hostPlatform(),
      ...more,
    };
  }

  const definitionOf = (vertex: Vertex): Definition => ({
    vertices: new Map([[vertex.digest, vertex]]),
    sources: [],
  });

  async function run(
    op: ExecOp,
    inputs: readonly SnapshotResult[] = [base],
    options: Partial<VertexOptions> = {},
  ) {
    const edges = inputs.map((input) => ({ vertex: input.contentId, index: 0 }));
    const vertex = createVertex(op, edges, { name: 'RUN', ...options });
    let output = '';
    const job: JobContext = {
      vertex,
      signal: new AbortController().signal,
      log: (_, data) => void (output += Buffer.from(data).toString('utf8')),
      transfer: () => undefined,
      note: () => undefined,
      logFile: () => undefined,
    };
    const log = join(state.logs, `${digestHex(vertex.digest)}.log`);
    const resolved = createExecOp(vertex, definitionOf(vertex), deps);
    try {
      const [result] = (await resolved.exec(job, inputs)) as [SnapshotResult];
      return { result, output, log, paths: await pathsOf(result) };
    } catch (error) {
      Object.assign(error as object, { output, log });
      throw error;
    }
  }

  async function pathsOf(result: SnapshotResult): Promise<string[]> {
    return (await layers.index(result.layers.at(-1)!)).entries.map((entry) => `${entry.type} ${entry.path}`);
  }

  it('makes one layer of what the process wrote', async () => {
    const { result, paths } = await run(
      execOp('mkdir /made; echo x > /made/file; rm /etc/profile; ln -s made /link'),
    );
    expect(result.layers).to.have.length(2);
    expect(result.layers[0]).to.equal(base.layers[0]);
    expect(paths).to.deep.equal([
      'directory etc',
      'whiteout etc/profile',
      'symlink link',
      'directory made',
      'file made/file',
    ]);
  });

  it('makes an empty layer when nothing is written', async () => {
    const { paths } = await run(execOp('cat /etc/hosts /etc/resolv.conf > /dev/null'));
    expect(paths).to.deep.equal([]);
  });

  it('sees what an earlier RUN wrote', async () => {
    const first = await run(execOp('echo from the first > /first'));
    const second = await run(execOp('cat /first; rm /first'), [first.result]);
    expect(second.output).to.equal('from the first\n');
    expect(second.paths).to.deep.equal(['whiteout first']);
  });

  it('has what a step touched, though the file was made in the same second, and not what it only opened', async () => {
    for (let round = 0; round < 3; round++) {
      const first = await run(execOp(`echo ${round} > /a`));
      const second = await run(execOp('touch /a; exec 3<> /etc/profile'), [first.result]);
      expect(second.paths).to.deep.equal(['file a']);
    }
  });

  it('keeps the whole output in a log', async () => {
    const { log, output } = await run(execOp('echo one; echo two >&2'));
    expect(readFileSync(log, 'utf8')).to.equal(output);
    expect(existsSync((await run(execOp('true'))).log)).to.equal(false);
  });

  it('sets HOME from the user and makes the working directory', async () => {
    const op = execOp('echo $HOME; pwd; id -un; id -Gn', { user: 'app', cwd: '/new/dir' });
    const { output, result } = await run(op);
    expect(output).to.match(/^\/home\/app\n\/new\/dir\napp\n(?=.*\bwheel\b)(?=.*\bvideo\b).*\n$/);
    const made = (await layers.index(result.layers.at(-1)!)).entries.find(
      (entry) => entry.path === 'new/dir',
    );
    expect(made).to.include({ type: 'directory', mode: 0o755, uid: 1000, gid: 1000 });
  });

  it('names hosts', async () => {
    const { output } = await run(execOp('hostname; cat /etc/hosts'), [base], {
      extraHosts: ['db:10.0.0.7', 'six:[fe80::1]'],
    });
    expect(output).to.equal(
      'buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.7\tdb\nfe80::1\tsix\n',
    );
  });

  it('gets proxy variables that are in no key', async () => {
    const op = execOp('echo $http_proxy');
    expect((await run(op, [base], { proxyEnv: ['http_proxy=http://proxy:3128'] })).output).to.equal(
      'http://proxy:3128\n',
    );
  });

  it('mounts a file of another input', async () => {
    const writer = layers.createWriter();
    const script = Buffer.from('#!/bin/sh\necho mounted $0\n');
    await writer.add(
      { path: 'script', type: 'file', mode: 0o755, uid: 0, gid: 0, size: script.length, mtimeSec: 0 },
      script,
    );
    const input = createSnapshotResult([writer.finish(CREATED_AT)]);
    const mount = {
      type: 'bind' as const,
      input: 1,
      source: '/script',
      target: '/dev/pipes/EOF',
      readonly: true,
    };
    const { output, paths } = await run(execOp('', { args: ['/dev/pipes/EOF'], mounts: [mount] }), [
      base,
      input,
    ]);
    expect([output, paths]).to.deep.equal(['mounted /dev/pipes/EOF\n', []]);
  });

  it('fails with the command and its exit code, and keeps the log', async () => {
    const error = await run(execOp('echo why; exit 3')).catch(
      (thrown: unknown) => thrown as Error & { log: string },
    );
    if (!(error instanceof Error)) throw new Error('it succeeded');
    expect(error.message).to.equal(
      'process "/bin/sh -c echo why; exit 3" did not complete successfully: exit code: 3',
    );
    expect(readFileSync(error.log, 'utf8')).to.equal('why\n');
    expect(await codeOf(run(execOp('exit 3')))).to.equal('RUN_FAILED');
  });

  it('fails for a user or a program that the image lacks', async () => {
    expect(await codeOf(run(execOp('true', { user: 'nobody-knows' })))).to.equal('USER_NOT_FOUND');
    expect(await codeOf(run(execOp('', { args: ['no-such-program'] })))).to.equal('RUN_FAILED');
  });

  it('says so when the machine cannot run the platform', async () => {
    const platform = { os: 'linux', architecture: 's390x' };
    expect(await codeOf(run(execOp('exit 1', { platform })))).to.equal('PLATFORM_NOT_RUNNABLE');
  });

  it('has a key of all that decides its output', async () => {
    const key = async (more: Partial<ExecOp>) => {
      const vertex = createVertex(execOp('true', more), [{ vertex: digestOf('x'), index: 0 }], {
        name: 'RUN',
      });
      return (await createExecOp(vertex, definitionOf(vertex), deps).cacheMap({} as JobContext)).digest;
    };
    const variants: Partial<ExecOp>[] = [
      {},
      { args: ['false'] },
      { env: ['A=1'] },
      { cwd: '/x' },
      { user: 'app' },
      { network: 'none' },
      { security: 'insecure' },
      { hostname: 'x' },
      { platform: { os: 'linux', architecture: 'other' } },
    ];
    const keys = await Promise.all(variants.map(key));
    expect(new Set(keys)).to.have.length(variants.length);
    expect(await key({})).to.equal(keys[0]);
  });
});
