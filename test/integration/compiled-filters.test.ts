import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { checkedBody, writeChecked } from '../../src/cache/checked-file.js';
import type { Layer } from '../../src/graph/contract.js';
import { branchingFilter } from '../../src/worker/executor/branching-filter.js';
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

/** Prints the error number of each call; with no arguments the kernel would refuse most of them otherwise. */
const CALLS = `
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#define TRY(name, ...) errno = 0, syscall(SYS_##name, __VA_ARGS__), printf(#name " %d\\n", errno)
int main(void) {
  TRY(unshare, 0); TRY(mount, 0, 0, 0, 0, 0); TRY(keyctl, 0, 0, 0); TRY(bpf, 0, 0, 0); TRY(clone3, 0, 0);
  TRY(socket, 40, 1, 0); TRY(socket, 1, 1, 0); TRY(personality, 1); TRY(getppid, 0); TRY(close, -1);
}`;
/** EPERM of the filter, ENOSYS of clone3 so that libc falls back to clone, and what the kernel answers where the filter allows. */
const ANSWERS = [
  ...['unshare 1', 'mount 1', 'keyctl 1', 'bpf 1', 'clone3 38'],
  ...['socket 1', 'socket 0', 'personality 1', 'getppid 0', 'close 9'],
];

describe('filters of system calls that crun compiled', () => {
  let base: string;
  let overlays: OverlayRoots;
  let filters: string;
  let crun: Executor;

  /** As in a new process. */
  const start = () => createExecutor({ name: 'crun', program: findProgram('crun')! }, filters);
  const files = () => readdirSync(filters).map((name) => join(filters, name));
  const kept = () => files().map((file) => readFileSync(file, 'utf8'));
  const parsed = () =>
    kept().map(
      (text) => JSON.parse(checkedBody(text)!) as { madeBy: string; program: string; isSearched: boolean },
    );

  before(function () {
    needs(this, 'mounts', { program: 'crun' }, { program: 'busybox' });
    base = makeBaseRootfs();
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

  it('get a search in front, once, where a second process finds them', async () => {
    await run('true');
    await run('true');
    const [plain] = parsed();
    expect(plain!.isSearched).to.equal(false);
    const program = Buffer.from(plain!.program, 'base64');
    crun = start();
    await run('true');
    const expected = Buffer.from(branchingFilter(program));
    expect(expected.length).to.be.above(program.length);
    expect(parsed()).to.deep.equal([{ ...plain, program: expected.toString('base64'), isSearched: true }]);
    const [text] = kept();
    for (let i = 0; i < 2; i++) {
      crun = start();
      expect(await run(PROBE)).to.equal(FILTERED);
    }
    expect(kept()).to.deep.equal([text]);
  });

  it('answer the same as crun’s own', async function () {
    needs(this, { program: 'gcc' });
    execFileSync('gcc', ['-w', '-static', '-x', 'c', '-o', join(base, 'bin/calls'), '-'], { input: CALLS });
    const script = 'calls; echo a b | tr a c | sort; (sleep 0 & wait); mkdir d && cp -r /etc d && rm -r d';
    const expected = [...ANSWERS, 'c b', ''].join('\n');
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 2; j++) expect(await run(script)).to.equal(expected);
      crun = start();
    }
    expect(files()).to.have.length(1);
  });

  it('are made again after the kernel refused one', async () => {
    await run('true');
    const [file] = files();
    const [text] = kept();
    const { madeBy } = parsed()[0]!;
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
