import { expect } from 'chai';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { PROJECT, runCommand, TSBUILD } from '../kit/cli.js';
import { findProgram, needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** What a step with the embedded sandbox may call, since it has no filter of system calls; the kernel's own checks remain. */
const UNFILTERED = new Set([
  'add_key',
  'change_mount',
  'clone3_user_namespace',
  'clone_user_namespace',
  'kernel_cryptography',
  'kernel_ring',
  'load_bpf',
  'load_kernel',
  'load_module',
  'load_module_file',
  'new_user_namespace',
  'open_by_handle',
  'reach_hypervisor',
  'read_keyring',
  'remove_module',
  'request_key',
  'set_clock',
  'set_quota',
  'set_time',
  'watch_kernel',
]);

const LEAST_PROVEN = 40;
const NOBODY = 65534;

/** Results by attempt, from lines such as `mount_tmpfs EPERM`, perhaps with a step's number and time before them. */
function parseResults(text: string): Map<string, string> {
  const lines = text.matchAll(/^(?:#\d+ [\d.]+ )?([a-z][a-z0-9_]+) (ok|E[A-Z0-9]+)$/gm);
  return new Map([...lines].map(([, name, result]) => [name!, result!]));
}

function isOpenToOthers(path: string): boolean {
  return path === '/' || ((statSync(path).mode & 0o001) !== 0 && isOpenToOthers(dirname(path)));
}

/**
 * Each attempt is made outside first: only where it succeeds there, or fails for another reason than inside, does its refusal
 * prove anything.
 */
describe('escapes from a RUN step', function () {
  this.timeout(120_000);
  let dir: string;
  let probeArguments: string[];
  let outside: Map<string, string>;
  let host: ChildProcess;
  let server: Server;

  before(async function () {
    needs(this, 'root', { program: 'crun' }, { program: 'runc' }, { program: 'busybox' }, { program: 'gcc' });
    dir = tmpDir();
    chmodSync(dir, 0o755);
    const context = join(dir, 'context');
    mkdirSync(context);
    const probe = join(context, 'probe');
    execFileSync('gcc', ['-O1', '-static', '-o', probe, join(PROJECT, 'test/fixtures/escape/probe.c')]);
    copyFileSync(findProgram('busybox')!, join(context, 'busybox'));
    host = spawn('sleep', ['600'], { stdio: 'ignore' });
    server = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    execFileSync('mknod', ['-m', '666', join(dir, 'tun'), 'c', '10', '200']);
    const secret = join(dir, 'secret');
    writeFileSync(secret, 'of the host\n');
    probeArguments = [String(host.pid), secret, String((server.address() as AddressInfo).port)];
    // From its second step on crun has the compiled filter.
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM scratch\nCOPY busybox probe /bin/\nWORKDIR /tmp\nRUN ["/bin/busybox", "true"]\nRUN ["/bin/probe", ${probeArguments.map((word) => JSON.stringify(word)).join(', ')}]\n`,
    );
    // In namespaces of its own, so that what works harms nobody.
    const control = ['--mount', '--uts', '--ipc', probe, ...probeArguments];
    outside = parseResults((await runCommand('unshare', control)).stdout);
  });
  after(() => {
    host?.kill();
    server?.close();
  });

  function expectRefusals(inside: Map<string, string>, exceptions: ReadonlySet<string> = new Set()): void {
    expect([...inside.keys()]).to.deep.equal([...outside.keys()]);
    const same = [...inside].filter(([name, result]) => result === outside.get(name));
    const succeeded = [...inside].filter(([, result]) => result === 'ok');
    const allowed = ([name]: [string, string]) => exceptions.has(name);
    expect(succeeded.filter((entry) => !allowed(entry)).map(([name]) => name)).to.deep.equal([]);
    // What fails outside in the same way proves nothing: this kernel does not have it.
    const unproven = same.filter(([name, result]) => result !== 'ok' && !exceptions.has(name)).length;
    expect(outside.size - unproven - exceptions.size).to.be.at.least(LEAST_PROVEN);
  }

  for (const executor of ['crun', 'runc', 'sandbox'] as const) {
    it(`are refused with ${executor}`, async () => {
      const env = { TSBUILD_EXECUTOR: executor, TSBUILD_ROOT: join(dir, `root-${executor}`) };
      const args = [join(dir, 'context'), '--no-cache', '--progress=plain'];
      const build = await runCommand(TSBUILD, args, { env });
      expect(build.status, build.stderr).to.equal(0);
      expectRefusals(parseResults(build.stderr), executor === 'sandbox' ? UNFILTERED : undefined);
    });

    it(`are refused with ${executor} for an ordinary user`, async function () {
      if (!isOpenToOthers(dirname(TSBUILD))) this.skip();
      const home = join(dir, `home-${executor}`);
      mkdirSync(home);
      chownSync(home, NOBODY, NOBODY);
      const identity = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
      const environment = [
        'env',
        `HOME=${home}`,
        `TSBUILD_ROOT=${home}/root`,
        `TSBUILD_EXECUTOR=${executor}`,
      ];
      const args = [join(dir, 'context'), '--no-cache', '--progress=plain'];
      // Most machines open the device to everyone, some to root only.
      const openTunnel = `mount --bind ${join(dir, 'tun')} /dev/net/tun && exec "$@"`;
      const command = ['setpriv', ...identity, ...environment, TSBUILD, ...args];
      const build = await runCommand('unshare', ['--mount', 'sh', '-c', openTunnel, 'sh', ...command], {
        cwd: home,
      });
      expect(build.status, build.stderr).to.equal(0);
      expectRefusals(parseResults(build.stderr), executor === 'sandbox' ? UNFILTERED : undefined);
    });
  }

  it('would be seen: without a sandbox they work', () => {
    expect([...outside.values()].filter((result) => result === 'ok')).to.have.length.above(20);
    for (const name of [
      'read_host_file',
      'trace_host_process',
      'reach_host_loopback',
      'chroot_escape',
      'device_in_dev',
    ]) {
      expect(outside.get(name), name).to.equal('ok');
    }
  });
});
