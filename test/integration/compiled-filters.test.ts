import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { checkedBody, writeChecked } from '../../src/cache/checked-file.js';
import type { Layer } from '../../src/graph/contract.js';
import type { Executor, ProcessSpec } from '../../src/worker/executor/executor.js';
import { createExecutor } from '../../src/worker/executor/select-executor.js';
import { OverlayRoots } from '../../src/worker/snapshot/overlay.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { codeOf } from '../kit/code-of.js';
import { findProgram, needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Mode 2 of seccomp(2) is a filter; making namespaces is what Docker's forbids. */
const PROBE = 'grep ^Seccomp: /proc/self/status; unshare -n true 2> /dev/null && echo unshared';
const FILTERED = 'Seccomp:\t2\n';

describe('filters of system calls that crun compiled', () => {
  let overlays: OverlayRoots;
  let filters: string;
  let crun: Executor;

  /** As in a new process. */
  const start = () => createExecutor({ name: 'crun', program: findProgram('crun')! }, filters);
  const files = () => readdirSync(filters).map((name) => join(filters, name));
  const kept = () => files().map((file) => readFileSync(file, 'utf8'));

  before(function () {
    needs(this, 'mounts', { program: 'crun' }, { program: 'busybox' });
    const base = makeBaseRootfs();
    overlays = new OverlayRoots({ work: tmpDir(), layers: { directory: () => Promise.resolve(base) } });
  });
  beforeEach(() => {
    filters = tmpDir();
    crun = start();
  });
  after(() => overlays?.close());

  async function run(script: string, options: Partial<ProcessSpec> = {}): Promise<string> {
    const { signal } = new AbortController();
    await using root = await overlays.mount([{} as Layer], signal);
    const spec: ProcessSpec = {
      rootfs: root.path,
      directory: root.directory,
      memory: root.memory,
      args: ['/bin/sh', '-c', script],
      env: ['PATH=/bin'],
      cwd: '/',
      uid: 0,
      gid: 0,
      additionalGids: [0],
      hostname: 'builder',
      network: 'none',
      security: 'sandbox',
      mounts: [],
      rlimits: [],
      ...options,
    };
    let stdout = '';
    const onOutput = (stream: 1 | 2, data: Uint8Array) => {
      if (stream === 1) stdout += Buffer.from(data).toString('utf8');
    };
    await crun.run(spec, { onOutput }, signal);
    return stdout;
  }

  it('are kept by the first container and hold for the later ones', async () => {
    expect(await run(PROBE)).to.equal(FILTERED);
    expect(files()).to.have.length(1);
    expect(await run(PROBE)).to.equal(FILTERED);
    crun = start();
    expect(await run(PROBE)).to.equal(FILTERED);
    expect(files()).to.have.length(1);
  });

  it('are kept of a step that fails, and are the same each time', async () => {
    await run('exit 3');
    const [first] = kept();
    filters = tmpDir();
    crun = start();
    await run('true');
    expect(kept()).to.deep.equal([first]);
  });

  it('are one for each set of capabilities', async () => {
    await run('true');
    await run('true', { capabilities: { add: ['CAP_SYS_ADMIN'], drop: [] } });
    expect(new Set(kept())).to.have.length(2);
    expect(await run(PROBE)).to.equal(FILTERED);
  });

  it('are made again where the file is damaged or another crun made it', async () => {
    await run('true');
    const [file] = files();
    const [text] = kept();
    writeFileSync(file!, text!.slice(0, 200));
    crun = start();
    expect(await run(PROBE)).to.equal(FILTERED);
    expect(kept()).to.deep.equal([text]);
    writeChecked(file!, JSON.stringify({ madeBy: 'another', program: '' }));
    crun = start();
    expect(await run(PROBE)).to.equal(FILTERED);
    expect(kept()).to.deep.equal([text]);
  });

  it('cost no step where they cannot be kept, and are nobody else’s to write', async () => {
    filters = join(tmpDir(), 'filters');
    writeFileSync(filters, 'in the way');
    crun = start();
    expect(await run(PROBE)).to.equal(FILTERED);
    expect(await run(PROBE)).to.equal(FILTERED);
    rmSync(filters);
    crun = start();
    const before = process.umask(0);
    try {
      await run('true');
    } finally {
      process.umask(before);
    }
    expect(statSync(filters).mode & 0o777).to.equal(0o700);
  });

  it('are made again after the kernel refused one', async () => {
    await run('true');
    const [file] = files();
    const [text] = kept();
    const { madeBy } = JSON.parse(checkedBody(text!)!) as { madeBy: string };
    // Its only instruction returns nothing.
    writeChecked(file!, JSON.stringify({ madeBy, program: Buffer.alloc(8).toString('base64') }));
    crun = start();
    expect(await codeOf(run('true'))).to.equal('EXECUTOR_FAILED');
    expect(await run(PROBE)).to.equal(FILTERED);
    expect(kept()).to.deep.equal([text]);
  });

  it('are none where all is allowed', async () => {
    expect(await run('grep ^Seccomp: /proc/self/status', { security: 'insecure' })).to.equal('Seccomp:\t0\n');
    expect(files()).to.deep.equal([]);
  });
});
