import { expect } from 'chai';
import { lookup } from 'node:dns/promises';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostAddress } from '../../src/worker/network/host-network.js';
import { makeBaseRootfs } from '../kit/base-image.js';
import { mustRun, runCommand, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { commandLinesWith, longSleep, networkTraces, processesWith, until } from '../kit/machine-state.js';
import { isRoot, needs } from '../kit/needs.js';
import { type PlainServer, servePlain } from '../kit/plain-server.js';
import { tmpDir } from '../kit/tmp-dir.js';

/** The network devices of this machine; the kernel never gives the number of one to another one. */
function devices(): { name: string; number: number }[] {
  return readdirSync('/sys/class/net').flatMap((name) => {
    try {
      return [{ name, number: Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')) }];
    } catch {
      return [];
    }
  });
}

const deviceNumbers = () => devices().map(({ number }) => number);

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

  it('takes no name that a device has, and leaves that alone', async function () {
    if (!isRoot()) this.skip();
    const taken = Array.from({ length: 8 }, (_, i) => `tsbuild${i}`).filter(
      (name) => !existsSync(`/sys/class/net/${name}`),
    );
    const added: string[] = [];
    try {
      // Builds of other tests take and leave such names meanwhile.
      for (const name of taken) {
        const peer = ['peer', 'name', `${name}-peer`];
        const { status } = await runCommand('ip', ['link', 'add', name, 'type', 'veth', ...peer]);
        if (status === 0) added.push(name);
      }
      expect(added).to.not.deep.equal([]);
      const context = step(`RUN wget -q -O- http://up:${everywhere.port}/ > /out`);
      const output = await outputOf(context, '--no-cache', '--add-host', 'up:host-gateway');
      expect(output).to.equal('on 0.0.0.0\n');
      for (const name of added) expect(existsSync(`/sys/class/net/${name}`), name).to.equal(true);
    } finally {
      for (const name of added) await mustRun('ip', ['link', 'delete', name]);
    }
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

  /** A long sleep of that number with the number of the host's end of the network; the shell's own arguments have no such text. */
  const sleepWithLink = (number: number) => {
    const [program, time] = longSleep(number).split(' ');
    return `${program} $(echo ${time}) $(cat /sys/class/net/eth0/iflink)`;
  };

  /** Waits until such a sleep runs, beside the programs of the network that an ordinary user's build has. */
  async function linkOf(number: number): Promise<number> {
    const running = () => commandLinesWith(longSleep(number))[0];
    await until(() => running() !== undefined);
    expect(processesWith(`${root}/work/`)).to.not.deep.equal([]);
    return Number(running()!.split(' ').at(-1));
  }

  async function expectNothingLeft(link: number): Promise<void> {
    expect(processesWith(`${root}/work/`)).to.deep.equal([]);
    if (!isRoot()) return;
    // The kernel takes it away beside the end of the process.
    await until(() => !deviceNumbers().includes(link));
    // Of all networks of the machine: somebody else's build may just have been killed, too.
    await until(() => networkTraces().length === 0);
  }

  it('leaves nothing on the host', async () => {
    const build = tsbuild.must([step(`RUN timeout 2 ${sleepWithLink(8)} || true`), '--no-cache']);
    const link = await linkOf(8);
    if (isRoot()) expect(deviceNumbers()).to.include(link);
    await build;
    await expectNothingLeft(link);
  });

  it('leaves no rule on the host when somebody has deleted one of them', async function () {
    needs(this, 'root');
    const build = tsbuild.must([step(`RUN timeout 2 ${sleepWithLink(9)} || true`), '--no-cache']);
    const link = await linkOf(9);
    const device = devices().find(({ number }) => number === link)!.name;
    const rule = (await mustRun('iptables-save', []))
      .split('\n')
      .find((line) => line.includes(` --comment ${device} -j DROP`));
    await mustRun('iptables', rule!.replace('-A', '-D').split(' '));
    await build;
    await expectNothingLeft(link);
  });

  it('leaves nothing on the host when the build was killed and another one was made', async () => {
    let pid = 0;
    const build = tsbuild.run([step(`RUN ${sleepWithLink(6)}`), '--no-cache'], {
      onStart: (own) => (pid = own),
    });
    const link = await linkOf(6);
    process.kill(pid, 'SIGKILL');
    expect((await build).status).to.equal(null);
    expect(processesWith(`${root}/work/`)).to.not.deep.equal([]);
    await tsbuild.must([step('RUN --network=none true'), '--no-cache']);
    await expectNothingLeft(link);
  });

  it('does not lead into the network of another build', async () => {
    const answer = `reached ${process.pid}`;
    const own = "$(ip -4 -o addr show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/')";
    const script = `nc -l -p 7001 -e echo ${answer} ${own} & ${longSleep(7)}`;
    let pid = 0;
    const server = tsbuild.run([step(`RUN ${script}`), '--no-cache'], { onStart: (own) => (pid = own) });
    try {
      const listening = new RegExp(`^nc -l .* ${answer} ([\\d.]+)$`);
      const addressOf = () => commandLinesWith(answer).flatMap((line) => listening.exec(line)?.[1] ?? [])[0];
      await until(() => addressOf() !== undefined);
      const addresses = `${addressOf()} 10.0.2.2 up`;
      const probe = `for a in ${addresses}; do echo | nc -w 1 $a 7001 2>/dev/null >> /out || true; done; echo end >> /out`;
      const options = ['--no-cache', '--add-host', 'up:host-gateway'];
      expect(await outputOf(step(`RUN ${probe}`), ...options)).to.equal('end\n');
    } finally {
      process.kill(pid, 'SIGINT');
    }
    expect((await server).status).to.equal(130);
  });
});
