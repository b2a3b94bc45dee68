import { expect } from 'chai';
import { execFile, execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BuildNetworks } from '../../src/worker/network/build-network.js';
import { hostAddress } from '../../src/worker/network/host-network.js';
import { openUserNetwork } from '../../src/worker/network/user-network.js';
import { unmount } from '../../src/worker/sys/mounts.js';
import { enterMountNamespace } from '../../src/worker/sys/namespaces.js';
import { createNetworkNamespace, inNetworkNamespace } from '../../src/worker/sys/network-namespace.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { findProgram, needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const execFileAsync = promisify(execFile);

/** Devices, firewall rules and lock directories of build networks on this machine. */
function leftovers(): string[] {
  const devices = readdirSync('/sys/class/net').filter((name) => name.startsWith('tsbuild'));
  const rules = execFileSync('iptables-save', { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')
    .filter((line) => line.includes('--comment tsbuild'));
  let locks: string[] = [];
  try {
    locks = readdirSync('/run/tsbuild/networks');
  } catch {
    // No network was ever made.
  }
  return [...devices, ...rules, ...locks];
}

/** A web server that says where it listens. */
async function serve(address: string): Promise<{ server: Server; port: number }> {
  const server = createServer((_, response) => response.end(`on ${address}\n`));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

describe('the network of RUN', function () {
  this.timeout(60_000);
  const tsbuild = tsbuildIn(tmpDir());
  let loopback: { server: Server; port: number };
  let everywhere: { server: Server; port: number };

  before(async function () {
    needs(
      this,
      'root',
      { program: 'crun' },
      { program: 'busybox' },
      { program: 'ip' },
      { program: 'iptables' },
    );
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
    loopback = await serve('127.0.0.1');
    everywhere = await serve('0.0.0.0');
  });
  after(() => {
    loopback?.server.close();
    everywhere?.server.close();
  });

  const step = (...lines: string[]) => makeContext({ Dockerfile: ['FROM base', ...lines, ''].join('\n') });

  async function outputOf(context: string, ...options: string[]): Promise<string> {
    await tsbuild.must([context, '-t', 'out', ...options]);
    return (await tsbuild.must(['run', '--network=none', 'out', 'cat', '/out'])).stdout;
  }

  it('is one of its own, with a way to the host under the name that was asked for', async () => {
    const context = step(
      `RUN ls /sys/class/net | sort | tr '\\n' ' ' > /out; wget -q -O- http://up:${everywhere.port}/ >> /out`,
    );
    expect(await outputOf(context, '--add-host', 'up:host-gateway')).to.equal('eth0 lo on 0.0.0.0\n');
  });

  it("does not lead to the host's loopback; the host's own network does", async () => {
    const fetch = (address: string) =>
      `timeout 2 wget -q -O- http://${address}:${loopback.port}/ 2>/dev/null || echo refused`;
    const lines = (flag: string) => [
      `RUN ${flag} (${fetch('127.0.0.1')}; ${fetch('up')}; ${fetch(hostAddress())}) > /out`,
    ];
    const options = ['--add-host', 'up:host-gateway'];
    expect(await outputOf(step(...lines('')), ...options)).to.equal('refused\nrefused\nrefused\n');
    expect(await outputOf(step(...lines('--network=none')), ...options)).to.equal(
      'refused\nrefused\nrefused\n',
    );
    const host = await outputOf(step(...lines('--network=host')), ...options, '--allow', 'network.host');
    expect(host).to.contain('on 127.0.0.1');
  });

  it('finds names that the host finds', async function () {
    const name = 'deb.debian.org';
    const address = await lookup(name, 4).catch(() => undefined);
    if (!address) this.skip();
    expect(await outputOf(step(`RUN nslookup ${name} > /out`))).to.contain(address.address);
  });

  it('is the same one for all steps of a build', async () => {
    const id = 'readlink /proc/self/ns/net';
    const context = step(`RUN ${id} > /out`, `RUN ${id} >> /out`, `RUN --network=none ${id} >> /out`);
    const [first, second, none] = (await outputOf(context, '--no-cache')).split('\n');
    expect(second).to.equal(first);
    expect(none).to.not.equal(first);
    expect([first === readlinkSync('/proc/self/ns/net'), first!.startsWith('net:')]).to.deep.equal([
      false,
      true,
    ]);
  });

  it('leaves nothing on the host, not even of a build that was killed', async () => {
    await tsbuild.must([step('RUN true'), '--no-cache']);
    expect(leftovers()).to.deep.equal([]);
    let pid = 0;
    const killed = tsbuild.run([step('RUN sleep 60'), '--no-cache'], {
      onStart: (started) => (pid = started),
    });
    while (leftovers().length < 6) await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(pid, 'SIGKILL');
    await killed;
    expect(leftovers().length).to.be.greaterThan(3);
    await tsbuild.must([step('RUN --network=none true'), '--no-cache']);
    expect(leftovers()).to.deep.equal([]);
  });

  it('does not lead into the network of another build', async () => {
    const context = step('RUN nc -l -p 7001 -e echo reached & sleep 3');
    const server = tsbuild.run([context, '--no-cache']);
    while (leftovers().length < 6) await new Promise((resolve) => setTimeout(resolve, 20));
    const probe =
      'for n in 2 6; do echo | nc -w 1 10.231.0.$n 7001 2>/dev/null >> /out || true; done; echo end >> /out';
    expect(await outputOf(step(`RUN ${probe}`), '--no-cache')).to.equal('end\n');
    await server;
  });

  describe('without the right to add devices', () => {
    for (const name of ['slirp', 'pasta'] as const) {
      it(`comes through ${name}, and ends with it`, async function () {
        const program = name === 'slirp' ? 'slirp4netns' : name;
        needs(this, { program });
        enterMountNamespace();
        const directory = tmpDir();
        const namespace = join(directory, 'namespace');
        createNetworkNamespace(namespace);
        const programs = { slirp: undefined, pasta: undefined, [name]: findProgram(program) };
        const network = (await openUserNetwork(namespace, directory, programs))!;
        const get = (address: string, port: number) =>
          inNetworkNamespace(namespace, () =>
            execFileAsync('busybox', [
              'timeout',
              '2',
              'busybox',
              'wget',
              '-q',
              '-O-',
              `http://${address}:${port}/`,
            ]),
          ).then(
            ({ stdout }) => stdout,
            () => 'refused\n',
          );
        try {
          expect(await get(network.hostAddress, everywhere.port)).to.equal('on 0.0.0.0\n');
          for (const address of ['127.0.0.1', '10.0.2.2', network.hostAddress]) {
            expect(await get(address, loopback.port), address).to.equal('refused\n');
          }
        } finally {
          await network.close();
          unmount(namespace);
        }
        expect(network.resolvConf).to.contain('nameserver 10.0.2.3\n');
      });
    }

    it("is the host's where the machine offers no other, with one line that says why", async () => {
      const directory = join(tmpDir(), 'own');
      const notes: string[] = [];
      const networks = new BuildNetworks({
        createDirectory: async () => (mkdirSync(directory), directory),
        ways: [() => Promise.reject(new Error('no devices')), () => Promise.reject(new Error('no program'))],
      });
      const network = await networks.open('default', (note) => notes.push(note));
      await networks.open('default', (note) => notes.push(note));
      await networks.close();
      expect(network.process).to.equal('host');
      expect(notes).to.deep.equal([
        "steps use the host's network: no devices; no program (tsbuild doctor tells what to do)",
      ]);
    });
  });
});
