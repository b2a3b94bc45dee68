import { expect } from 'chai';
import { closeSync, existsSync, mkdirSync, openSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NetworkRules } from '../../src/worker/network/network-rules.js';
import { inNetworkNamespace } from '../../src/worker/sys/network-namespace.js';
import { buildBase } from '../kit/base-context.js';
import { mustRun, TSBUILD, tsbuildIn } from '../kit/cli.js';
import { makeContext } from '../kit/context.js';
import { needs } from '../kit/needs.js';
import { tmpDir } from '../kit/tmp-dir.js';

const DEVICE = 'tsbuild7';

describe('the rules of a network', function () {
  this.timeout(30_000);
  const namespace = `tsbuild-test-${process.pid}`;
  const file = join('/run/netns', namespace);
  let lock = -1;

  before(function () {
    needs(this, 'root', ...['ip', 'iptables', 'iptables-legacy', 'nsenter'].map((program) => ({ program })));
    lock = openSync('/dev/null', 'r');
  });
  after(() => {
    if (lock >= 0) closeSync(lock);
  });
  beforeEach(() => mustRun('ip', ['netns', 'add', namespace]));
  afterEach(() => mustRun('ip', ['netns', 'delete', namespace]));

  const inside = (...command: string[]) => mustRun('nsenter', [`--net=${file}`, ...command]);
  /** What is in the chains, without the comments that say when. */
  const saved = async (program = 'iptables-save') =>
    (await inside(program)).split('\n').filter((line) => line.startsWith('-A'));

  /** Of a network with these rules, which are open or have been taken away. */
  function rules() {
    const directory = tmpDir();
    const own = new NetworkRules({
      device: DEVICE,
      devicePrefix: 'tsbuild',
      address: '10.231.0.30',
      directory,
      lock,
    });
    return {
      add: () => inNetworkNamespace(file, () => own.add()),
      remove: () => inNetworkNamespace(file, () => own.remove()),
      /** Whether a program was asked to. */
      byProgram: () => existsSync(join(directory, 'rules')),
    };
  }

  const EXPECTED = [
    `-A FORWARD -o ${DEVICE} -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment ${DEVICE} -j ACCEPT`,
    `-A FORWARD -i ${DEVICE} ! -o tsbuild+ -m comment --comment ${DEVICE} -j ACCEPT`,
    `-A FORWARD -o ${DEVICE} -m comment --comment ${DEVICE} -j DROP`,
    `-A POSTROUTING -s 10.231.0.30/32 ! -o ${DEVICE} -m conntrack --ctstate NEW,RELATED -m comment --comment ${DEVICE} -j MASQUERADE`,
  ];

  it('are made by iptables-restore where there are no tables yet, else by this process, and are the same', async () => {
    for (const [i, byProgram] of [true, false].entries()) {
      const own = rules();
      await own.add();
      expect(own.byProgram(), `time ${i}`).to.equal(byProgram);
      expect(await saved(), `time ${i}`).to.have.members(EXPECTED);
      await own.remove();
      expect(own.byProgram(), `time ${i}`).to.equal(byProgram);
      expect(await saved(), `time ${i}`).to.deep.equal([]);
    }
  });

  it('go above those of others, which stay', async () => {
    await inside('iptables', '-A', 'FORWARD', '-s', '192.0.2.1', '-j', 'DROP');
    await inside('iptables', '-t', 'nat', '-A', 'POSTROUTING', '-s', '192.0.2.1', '-j', 'ACCEPT');
    const others = await saved();
    expect(others).to.have.lengthOf(2);
    const own = rules();
    await own.add();
    expect(own.byProgram()).to.equal(false);
    const [forward, postrouting] = [EXPECTED.slice(0, 3), EXPECTED.slice(3)];
    expect(await saved()).to.have.ordered.members([
      ...[...forward, others.find((line) => line.includes('FORWARD'))!],
      ...[...postrouting, others.find((line) => line.includes('POSTROUTING'))!],
    ]);
    await own.remove();
    expect(await saved()).to.have.members(others);
  });

  it('go with the build, and no others do, where all rules were loaded anew meanwhile', async function () {
    needs(this, ...['crun', 'busybox'].map((program) => ({ program })));
    const root = tmpDir();
    await buildBase(tsbuildIn(root));
    // As many as it takes for the last ones to get the numbers, in both tables, that the build's have before.
    const table = (name: string, chains: readonly string[], rule: (i: number) => string) => [
      `*${name}`,
      ...chains.map((chain) => `:${chain} ACCEPT`),
      ...Array.from({ length: 20 }, (_, i) => rule(i)),
      'COMMIT',
    ];
    const input = [
      ...table('filter', ['INPUT', 'FORWARD', 'OUTPUT'], (i) => `-A FORWARD -s 192.0.2.${i}/32 -j DROP`),
      ...table(
        'nat',
        ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
        (i) => `-A POSTROUTING -s 192.0.2.${i}/32 -j ACCEPT`,
      ),
      '',
    ].join('\n');
    await mustRun('nsenter', [`--net=${file}`, 'iptables-restore'], { input });
    const before = await saved();
    expect(before).to.have.lengthOf(40);
    await inside('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
    const dockerfile = 'FROM base\nRUN sleep 3\n';
    const build = mustRun('nsenter', [`--net=${file}`, TSBUILD, makeContext({ Dockerfile: dockerfile })], {
      env: { TSBUILD_ROOT: root },
    });
    while ((await saved()).length < 44) await sleep(50);
    const all = await inside('iptables-save');
    await mustRun('nsenter', [`--net=${file}`, 'iptables-restore'], { input: all });
    expect(await saved()).to.have.lengthOf(44);
    await build;
    expect(await saved()).to.have.members(before);
  });

  it('go to the tables of the machine’s own iptables where those are the old ones', async () => {
    const directory = join(tmpDir(), 'bin');
    mkdirSync(directory);
    symlinkSync('/usr/sbin/xtables-legacy-multi', join(directory, 'iptables-restore'));
    const path = process.env['PATH'];
    process.env['PATH'] = `${directory}:${path}`;
    try {
      const own = rules();
      await own.add();
      expect(own.byProgram()).to.equal(true);
      expect(await saved('iptables-legacy-save')).to.have.members(EXPECTED);
      expect(await saved()).to.deep.equal([]);
      await own.remove();
      expect(await saved('iptables-legacy-save')).to.deep.equal([]);
    } finally {
      process.env['PATH'] = path;
    }
  });
});
