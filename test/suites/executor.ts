import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Layer } from '../../src/graph/contract.js';
import type { Executor, ProcessSpec } from '../../src/worker/executor/executor.js';
import { unmount } from '../../src/worker/sys/mounts.js';
import { enterMountNamespace, inUserNamespace } from '../../src/worker/sys/namespaces.js';
import { SparePipes } from '../../src/worker/sys/pipe.js';
import { OverlayRoots } from '../../src/worker/snapshot/overlay.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { leftInWork } from '../kit/left-in-work.js';
import { longSleep, processesWith } from '../kit/machine-state.js';
import { findProgram } from '../kit/needs.js';
import { codeOf } from '../kit/code-of.js';
import { tmpDir } from '../kit/tmp-dir.js';

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What the process wrote, first level. */
  readonly written: readonly string[];
}

/** What every executor does. `create` runs once, in a `before` that may skip. @param isPrepared begins each process before it is known */
export function testExecutor(create: (context: Mocha.Context) => Executor, isPrepared = false): void {
  let executor: Executor;
  let overlays: OverlayRoots;
  const work = tmpDir();
  const spares = new SparePipes();

  before(function () {
    executor = create(this);
    const base = makeBaseRootfs();
    overlays = new OverlayRoots({ work, layers: { directory: () => Promise.resolve(base) } });
  });

  afterEach(() => {
    expect(leftInWork(work)).to.deep.equal([]);
  });

  after(() => {
    spares[Symbol.dispose]();
    return overlays?.close();
  });

  async function run(
    script: string | readonly string[],
    options: Partial<ProcessSpec> = {},
    signal = new AbortController().signal,
    onText: (text: string) => void = () => undefined,
  ): Promise<Outcome> {
    if (isPrepared) enterMountNamespace();
    using prepared = isPrepared ? executor.prepare!(overlays.createDirectories(), spares) : undefined;
    await using root = await overlays.mount([{} as Layer], signal, { directories: prepared });
    const texts: [string, string] = ['', ''];
    const spec: ProcessSpec = {
      rootfs: root.path,
      directory: root.directory,
      memory: root.memory,
      args: typeof script === 'string' ? ['/bin/sh', '-c', script] : script,
      env: ['PATH=/bin', 'HOME=/root'],
      cwd: '/',
      uid: 0,
      gid: 0,
      additionalGids: [0],
      hostname: 'builder',
      network: 'host',
      security: 'sandbox',
      mounts: [],
      rlimits: [],
      ...options,
    };
    const onOutput = (stream: 1 | 2, data: Uint8Array) => {
      const text = Buffer.from(data).toString('utf8');
      texts[stream - 1] += text;
      onText(text);
    };
    const { exitCode } = await executor.run(spec, { onOutput, spares, prepared }, signal);
    root.unmount();
    return { exitCode, stdout: texts[0], stderr: texts[1], written: readdirSync(root.upper).sort() };
  }

  it('hands on both streams', async () => {
    const outcome = await run('echo one; echo two >&2');
    expect(outcome).to.deep.equal({ exitCode: 0, stdout: 'one\n', stderr: 'two\n', written: [] });
  });

  it('loses no output', async () => {
    const { stdout } = await run(
      'i=0; while [ $i -lt 20000 ]; do echo "line $i of many, to be kept"; i=$((i+1)); done',
    );
    expect(stdout.split('\n')).to.have.length(20001);
    expect(stdout.endsWith('line 19999 of many, to be kept\n')).to.equal(true);
  });

  it('lets a user open /dev/stdout and /dev/stderr', async () => {
    const outcome = await run('echo one > /dev/stdout; echo two > /dev/stderr', {
      uid: 1000,
      gid: 1000,
      additionalGids: [1000],
    });
    expect(outcome).to.deep.equal({ exitCode: 0, stdout: 'one\n', stderr: 'two\n', written: [] });
  });

  it('gives the exit code', async () => {
    expect((await run('exit 3')).exitCode).to.equal(3);
  });

  it('gives 128 and the signal for a shell whose program a signal ended', async () => {
    expect((await run("sh -c 'kill -9 $$'; exit $?")).exitCode).to.equal(137);
  });

  it('keeps what the process wrote', async () => {
    expect((await run('mkdir /made && touch /made/file')).written).to.deep.equal(['made']);
  });

  it('passes arguments and environment as they are', async () => {
    const env = ['PATH=/bin', 'HOME=/root', 'QUOTED=a "b" $c\nd', 'EMPTY='];
    const { stdout } = await run(['sh', '-c', 'echo "$1|$QUOTED|$EMPTY|"; env | grep -c =', 'sh', 'a  b'], {
      env,
    });
    const ofTheShell = ['SHLVL', 'PWD'];
    expect(stdout).to.equal(`a  b|a "b" $c\nd||\n${env.length + ofTheShell.length}\n`);
  });

  it('starts in the working directory', async () => {
    expect((await run('pwd', { cwd: '/var/tmp' })).stdout).to.equal('/var/tmp\n');
  });

  it('runs as the user, with the supplementary groups', async () => {
    const { stdout } = await run('id -u; id -g; id -G', {
      uid: 1000,
      gid: 1000,
      additionalGids: [1000, 10, 27],
    });
    const [uid, gid, groups] = stdout.split('\n');
    expect([uid, gid]).to.deep.equal(['1000', '1000']);
    expect(new Set(groups!.split(' '))).to.deep.equal(new Set(['1000', '10', '27']));
  });

  it("gives Docker's capabilities to root and none to others", async () => {
    const script = "grep -E 'Cap(Eff|Bnd)' /proc/self/status | tr -d '\\t '";
    expect((await run(script)).stdout).to.equal('CapEff:00000000a80425fb\nCapBnd:00000000a80425fb\n');
    const user = await run(script, { uid: 1000, gid: 1000, additionalGids: [1000] });
    expect(user.stdout).to.equal('CapEff:0000000000000000\nCapBnd:00000000a80425fb\n');
  });

  it('has a host name, pids and mounts of its own', async () => {
    const { stdout } = await run('hostname; echo $$; mount | wc -l; ls /proc | grep -c "^[0-9]"');
    const [hostname, pid, mounts, processes] = stdout.split('\n');
    expect([hostname, pid]).to.deep.equal(['builder', '1']);
    expect(Number(mounts)).to.be.lessThan(40);
    expect(Number(processes)).to.be.lessThan(5);
  });

  it('has the devices, and no way to change the host', async () => {
    const script =
      'echo x > /dev/null && head -c 4 /dev/urandom | wc -c; [ -c /dev/tty ] && echo tty; echo 1 > /proc/sys/vm/overcommit_memory; echo $?';
    expect((await run(script)).stdout).to.equal('4\ntty\n1\n');
  });

  it('has the network of the host, or loopback alone', async () => {
    const script = 'ls /sys/class/net | sort | tr "\\n" " "; ip addr show lo | grep -c LOOPBACK,UP';
    expect((await run(script, { network: 'none' })).stdout).to.match(/^lo 1\n$/);
    // Devices of builds that run at the same time come and go.
    const lasting = (names: readonly string[]) =>
      names.filter((name) => !/^(|tsbuild\d+)$/.test(name)).sort();
    const { stdout } = await run('ls /sys/class/net');
    expect(lasting(stdout.split('\n'))).to.deep.equal(lasting(readdirSync('/sys/class/net')));
  });

  it('shows bind mounts, files and directories, read-only where asked', async () => {
    const dir = tmpDir();
    mkdirSync(join(dir, 'tree'));
    writeFileSync(join(dir, 'tree/file'), 'in a tree\n');
    writeFileSync(join(dir, 'single'), 'single\n');
    const mounts = [
      { source: join(dir, 'tree'), target: '/tmp', readonly: true },
      { source: join(dir, 'single'), target: '/etc/profile', readonly: true },
      { source: join(dir, 'tree'), target: '/var/tmp', readonly: false },
    ];
    const { stdout } = await run(
      'cat /tmp/file /etc/profile; touch /tmp/x 2>/dev/null || echo read-only; echo y > /var/tmp/y; echo 2>/dev/null > /etc/profile || echo kept',
      { mounts },
    );
    expect(stdout).to.equal('in a tree\nsingle\nread-only\nkept\n');
    expect(readdirSync(join(dir, 'tree')).sort()).to.deep.equal(['file', 'y']);
  });

  it('shows a bind mount below /dev', async () => {
    const file = join(tmpDir(), 'script');
    writeFileSync(file, '#!/bin/sh\necho from a script\n', { mode: 0o755 });
    const mounts = [{ source: file, target: '/dev/pipes/script', readonly: true }];
    expect(await run(['/dev/pipes/script'], { mounts })).to.deep.include({
      stdout: 'from a script\n',
      written: [],
    });
  });

  it('runs a 32-bit program, under the same filter', async function () {
    if (process.arch !== 'x64') this.skip();
    const dir = tmpDir();
    const [exit, mount] = [1, 21];
    const mounts = [exit, mount].map((call) => {
      const source = join(dir, String(call));
      writeFileSync(source, program32(call), { mode: 0o755 });
      return { source, target: `/tmp/${call}`, readonly: true };
    });
    if (spawnSync(mounts[0]!.source).status !== 42) this.skip(); // The kernel runs none.
    const [notPermitted, badAddress] = [1, 14];
    const error = executor.name === 'sandbox' ? badAddress : notPermitted;
    // The second time crun has the compiled filter.
    for (let i = 0; i < 2; i++) {
      const { stdout } = await run('/tmp/1; echo $?; /tmp/21; echo $?', { mounts });
      expect(stdout).to.equal(`42\n${error}\n`);
    }
  });

  // CVE-2019-5736: the runtime, run again by a script's first line, loads a library of the image, which opens it for writing.
  it('lets nobody write to the runtime’s own program', async function () {
    if (process.arch !== 'x64' || !findProgram('gcc')) this.skip();
    const dir = tmpDir();
    const source = join(dir, 'loader.c');
    writeFileSync(source, FALSE_LOADER);
    const loader = join(dir, 'loader');
    const options = [
      '-O1',
      '-static',
      '-nostdlib',
      '-ffreestanding',
      '-fno-stack-protector',
      '-fno-pie',
      '-no-pie',
    ];
    execFileSync('gcc', [...options, '-o', loader, source]);
    const script = join(dir, 'script');
    writeFileSync(script, '#!/proc/self/exe\n', { mode: 0o755 });
    const mounts = [
      { source: script, target: '/script', readonly: true },
      { source: loader, target: '/lib64/ld-linux-x86-64.so.2', readonly: true },
    ];
    // The kernel lets nobody write to a program that runs, and this node does.
    const { execPath } = process;
    process.execPath = join(dir, 'node');
    copyFileSync(execPath, process.execPath);
    const { stdout } = await run(['/script'], { mounts }).finally(() => {
      unmount(process.execPath);
      process.execPath = execPath;
    });
    // A runtime without libraries runs as itself, and says that it takes no such arguments.
    if (executor.name !== 'sandbox') expect(stdout).to.not.contain('written');
    else
      expect(stdout)
        .to.contain('Read-only file system')
        .and.to.match(/refused\n$/);
  });

  it('opens no device node that it makes, wherever that is', async () => {
    const dir = tmpDir();
    const mounts = [{ source: dir, target: '/tmp', readonly: false }];
    const networkTunnel = 'c 10 200';
    const script = `for d in / /dev /dev/shm /tmp; do mknod $d/x ${networkTunnel} || exit; (: < $d/x) 2>/dev/null && echo $d; done; true`;
    expect((await run(script, { mounts })).stdout).to.equal('');
    expect((await run(script, { mounts, readonlyRootfs: true })).stdout).to.equal('');
    const { stdout } = await run(`mknod /dev/x ${networkTunnel} && : < /dev/x && echo ok`, {
      security: 'insecure',
    });
    // An ordinary user makes none at all.
    expect(stdout).to.equal(inUserNamespace() ? '' : 'ok\n');
  });

  it('keeps the root file system read-only where asked', async () => {
    expect((await run('touch /x 2>/dev/null || echo no', { readonlyRootfs: true })).stdout).to.equal('no\n');
  });

  it('does not wait for a process in the background', async () => {
    const started = performance.now();
    const { stdout } = await run(`(sleep 60; echo late) & setsid ${longSleep(1)} & echo done`);
    expect(stdout).to.equal('done\n');
    expect(performance.now() - started).to.be.lessThan(5000);
    expect(processesWith(longSleep(1))).to.deep.equal([]);
  });

  it('says which program is missing', async () => {
    expect(await codeOf(run(['no-such-program']))).to.equal('RUN_FAILED');
    expect(await codeOf(run(['/etc/passwd']))).to.equal('RUN_FAILED');
  });

  it('leaves no process where the runtime itself is killed, as by a lack of memory', async () => {
    const { exitCode } = await run(`echo ready; ${longSleep(4)}`, {}, undefined, (text) => {
      if (!text.includes('ready')) return;
      const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ');
      // Without a child there is one empty text, and 0 is this process's own group.
      for (const pid of children.filter(Boolean))
        if (!/esbuild/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')))
          process.kill(Number(pid), 'SIGKILL');
    });
    expect(exitCode).to.equal(137);
    expect(processesWith(longSleep(4))).to.deep.equal([]);
  });

  it('ends everything within a second of an abort', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    let aborted = 0;
    const error = await run(
      `trap "" TERM INT; setsid ${longSleep(2)} & echo ready; ${longSleep(3)}`,
      {},
      controller.signal,
      () => {
        aborted = performance.now();
        controller.abort(reason);
      },
    ).catch((thrown: unknown) => thrown);
    expect(error).to.equal(reason);
    expect(performance.now() - aborted).to.be.lessThan(1000);
    expect([...processesWith(longSleep(2)), ...processesWith(longSleep(3))]).to.deep.equal([]);
  });

  for (const afterMs of [1, 3, 6, 10, 20, 40]) {
    it(`leaves nothing when the abort comes ${afterMs} ms after the start`, async () => {
      const controller = new AbortController();
      const reason = new Error('stop');
      setTimeout(() => controller.abort(reason), afterMs);
      const started = performance.now();
      expect(
        await run(longSleep(100 + afterMs), {}, controller.signal).catch((thrown: unknown) => thrown),
      ).to.equal(reason);
      expect(performance.now() - started).to.be.lessThan(1000 + afterMs);
      expect(processesWith(longSleep(100 + afterMs))).to.deep.equal([]);
    });
  }
}

/** Keeps the program that it is to load, becomes a shell so that the program no longer runs, and opens it for writing: it writes nothing. */
const FALSE_LOADER = `
static long call(long n, long a, long b, long c) {
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return r;
}
void _start(void) {
  static const char *args[] = {"sh", "-c", "(: >> /proc/self/fd/9) 2>&1 && echo written || echo refused", 0};
  static const char *none[] = {"PATH=/bin", 0};
  long fd = call(2, (long)"/proc/self/exe", 0, 0);
  call(33, fd, 9, 0);
  call(59, (long)"/bin/sh", (long)args, (long)none);
  call(60, 3, 0, 0);
}
`;

/** A program for i386 that makes one system call, with 42 as its first argument, and exits with the error's number. */
function program32(call: number): Buffer {
  const [start, headerBytes] = [0x10000, 0x34 + 0x20];
  const code = Buffer.from([
    ...[0xbb, 42, 0, 0, 0], // mov ebx, 42
    ...[0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6, 0x31, 0xff], // the other arguments are 0
    ...[0xb8, call, 0, 0, 0, 0xcd, 0x80], // mov eax, call; int 0x80
    ...[0xf7, 0xd8, 0x89, 0xc3], // ebx = -eax
    ...[0xb8, 1, 0, 0, 0, 0xcd, 0x80], // exit(ebx)
  ]);
  const sizeBytes = headerBytes + code.length;
  const header = Buffer.alloc(headerBytes);
  header.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  header.set([2, 0, 3, 0, 1], 0x10); // an executable for i386
  header.writeUInt32LE(start + headerBytes, 0x18);
  header.writeUInt32LE(0x34, 0x1c);
  header.set([0x34, 0, 0x20, 0, 1], 0x28); // one segment
  const [load, readAndExecute] = [1, 5];
  [load, 0, start, start, sizeBytes, sizeBytes, readAndExecute, 0x1000].forEach((word, i) =>
    header.writeUInt32LE(word, 0x34 + i * 4),
  );
  return Buffer.concat([header, code]);
}
