import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { readdirSync, readlinkSync } from 'node:fs';
import { hostAddress } from '../../src/worker/network/host-network.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { longSleep, processesWith } from '../kit/machine-state.js';
import { isRoot, needs } from '../kit/needs.js';
import { type PlainServer, servePlain } from '../kit/plain-server.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** Devices, firewall rules and lock directories of build networks on this machine; an ordinary user's are programs. */
function leftovers(root: string): string[] {
  if (!isRoot()) return processesWith(`${root}/work/`).map(String);
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

/** As many of them as there are while a step runs. */
const OPEN = isRoot() ? 6 : 2;

describe('the network of RUN', function () {
  this.timeout(60_000);
  const root = tmpDir();
  const tsbuild = tsbuildIn(root);
  let loopback: PlainServer;
  let everywhere: PlainServer;

  before(async function () {
    needs(
      this,
      'builder',
      ...['crun', 'busybox', 'ip', 'iptables', 'slirp4netns'].map((program) => ({ program })),
    );
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n' });
    makeBaseRootfs(context);
    await tsbuild.must([context, '-t', 'base']);
    loopback = await servePlain('127.0.0.1');
    everywhere = await servePlain('0.0.0.0');
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
    expect(leftovers(root)).to.deep.equal([]);
    let pid = 0;
    const killed = tsbuild.run([step(`RUN ${longSleep(6)}`), '--no-cache'], {
      onStart: (started) => (pid = started),
    });
    const isRunning = () => processesWith(longSleep(6)).length > 0 && leftovers(root).length >= OPEN;
    while (!isRunning()) await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(pid, 'SIGKILL');
    await killed;
    expect(leftovers(root).length).to.be.at.least(OPEN / 2);
    await tsbuild.must([step('RUN --network=none true'), '--no-cache']);
    expect(leftovers(root)).to.deep.equal([]);
  });

  it('does not lead into the network of another build', async () => {
    const context = step('RUN nc -l -p 7001 -e echo reached & sleep 3');
    const server = tsbuild.run([context, '--no-cache']);
    while (leftovers(root).length < OPEN) await new Promise((resolve) => setTimeout(resolve, 20));
    const addresses = '10.231.0.2 10.231.0.6 10.0.2.2 up';
    const probe = `for a in ${addresses}; do echo | nc -w 1 $a 7001 2>/dev/null >> /out || true; done; echo end >> /out`;
    const options = ['--no-cache', '--add-host', 'up:host-gateway'];
    expect(await outputOf(step(`RUN ${probe}`), ...options)).to.equal('end\n');
    await server;
  });
});
