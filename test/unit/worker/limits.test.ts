import { expect } from 'chai';
import { MemoryAdmission } from '../../../src/worker/cgroup/admission.js';
import { findController } from '../../../src/worker/cgroup/hierarchy.js';
import { limitFiles, type ResourceLimits } from '../../../src/worker/cgroup/limits.js';

const MIB = 2 ** 20;

describe('limits as files of a control group', () => {
  const written = (limits: ResourceLimits, version: 1 | 2) =>
    limitFiles(limits, version).map(({ file, value }) => `${file} ${value}`);

  const cases: [string, ResourceLimits, readonly string[], readonly string[]][] = [
    ['none', {}, [], []],
    [
      'memory, with as much swap',
      { memoryBytes: 64 * MIB },
      ['memory.limit_in_bytes 67108864', 'memory.memsw.limit_in_bytes 134217728'],
      ['memory.max 67108864', 'memory.swap.max 67108864'],
    ],
    [
      'memory without swap',
      { memoryBytes: MIB, memorySwapBytes: MIB },
      ['memory.limit_in_bytes 1048576', 'memory.memsw.limit_in_bytes 1048576'],
      ['memory.max 1048576', 'memory.swap.max 0'],
    ],
    [
      'swap without end',
      { memoryBytes: MIB, memorySwapBytes: -1 },
      ['memory.limit_in_bytes 1048576', 'memory.memsw.limit_in_bytes -1'],
      ['memory.max 1048576', 'memory.swap.max max'],
    ],
    [
      'CPUs',
      { cpus: 1.5 },
      ['cpu.cfs_period_us 100000', 'cpu.cfs_quota_us 150000'],
      ['cpu.max 150000 100000'],
    ],
    [
      'a quota of a period',
      { cpuQuotaUs: 5000, cpuPeriodUs: 20_000 },
      ['cpu.cfs_period_us 20000', 'cpu.cfs_quota_us 5000'],
      ['cpu.max 5000 20000'],
    ],
    [
      'a period alone',
      { cpuPeriodUs: 20_000 },
      ['cpu.cfs_period_us 20000', 'cpu.cfs_quota_us -1'],
      ['cpu.max max 20000'],
    ],
    ['shares', { cpuShares: 1024 }, ['cpu.shares 1024'], ['cpu.weight 39']],
    ['the fewest shares', { cpuShares: 2 }, ['cpu.shares 2'], ['cpu.weight 1']],
    ['the most shares', { cpuShares: 262_144 }, ['cpu.shares 262144'], ['cpu.weight 10000']],
    [
      'a set of CPUs and nodes',
      { cpusetCpus: '0-1', cpusetMems: '0' },
      ['cpuset.cpus 0-1', 'cpuset.mems 0'],
      ['cpuset.cpus 0-1', 'cpuset.mems 0'],
    ],
    ['processes', { pids: 9 }, ['pids.max 9'], ['pids.max 9']],
    [
      'a device',
      { io: [{ device: '8:0', rbps: 100, wiops: 5 }] },
      ['blkio.throttle.read_bps_device 8:0 100', 'blkio.throttle.write_iops_device 8:0 5'],
      ['io.max 8:0 rbps=100 wiops=5'],
    ],
  ];
  for (const [name, limits, first, second] of cases) {
    it(name, () => {
      expect(written(limits, 1)).to.deep.equal(first);
      expect(written(limits, 2)).to.deep.equal(second);
    });
  }
});

describe('where a controller is', () => {
  const machine = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? '';
  const line = (root: string, point: string, type: string, options: string) =>
    `31 23 0:26 ${root} ${point} rw,nosuid shared:9 - ${type} ${type} ${options}\n`;

  it('version 1: in a hierarchy of its own, below the own group', () => {
    const read = machine({
      '/proc/self/mountinfo':
        line('/', '/sys/fs/cgroup/cpu', 'cgroup', 'rw,cpu,cpuacct') +
        line('/', '/sys/fs/cgroup/blkio', 'cgroup', 'rw,blkio'),
      '/proc/self/cgroup': '5:cpu,cpuacct:/user\n4:blkio:/\n',
    });
    const cpu = { version: 1, mount: '/sys/fs/cgroup/cpu', own: '/sys/fs/cgroup/cpu/user' };
    expect(findController('cpu', read)).to.deep.equal(cpu);
    expect(findController('io', read)?.mount).to.equal('/sys/fs/cgroup/blkio');
    expect(findController('memory', read)).to.equal(undefined);
  });

  it('version 2: where the own group has it', () => {
    const read = machine({
      '/proc/self/mountinfo': line('/', '/sys/fs/cgroup', 'cgroup2', 'rw'),
      '/proc/self/cgroup': '0::/user.slice/run.scope\n',
      '/sys/fs/cgroup/user.slice/run.scope/cgroup.controllers': 'cpu memory pids\n',
    });
    const own = '/sys/fs/cgroup/user.slice/run.scope';
    expect(findController('memory', read)).to.deep.equal({ version: 2, mount: '/sys/fs/cgroup', own });
    expect(findController('io', read)).to.equal(undefined);
  });

  it('both: version 1 where it has the controller, else version 2', () => {
    const read = machine({
      '/proc/self/mountinfo':
        line('/', '/sys/fs/cgroup/memory', 'cgroup', 'rw,memory') +
        line('/', '/sys/fs/cgroup/unified', 'cgroup2', 'rw'),
      '/proc/self/cgroup': '3:memory:/\n0::/\n',
      '/sys/fs/cgroup/unified/cgroup.controllers': 'pids\n',
    });
    expect(findController('memory', read)?.version).to.equal(1);
    expect(findController('pids', read)).to.deep.include({ version: 2, own: '/sys/fs/cgroup/unified/' });
  });

  it('in a container that sees its part of the hierarchy only', () => {
    const read = machine({
      '/proc/self/mountinfo': line('/docker/abc', '/sys/fs/cgroup/memory', 'cgroup', 'ro,memory'),
      '/proc/self/cgroup': '3:memory:/docker/abc/inner\n',
    });
    expect(findController('memory', read)?.own).to.equal('/sys/fs/cgroup/memory/inner');
  });
});

describe('admission by memory', () => {
  const never = new AbortController().signal;

  it('lets begin what fits, and the others in their order as room is given back', async () => {
    const admission = new MemoryAdmission(4);
    const began: string[] = [];
    const enter = async (name: string, bytes: number) => {
      const place = await admission.enter(bytes, never, () => began.push(`${name} waits`));
      began.push(name);
      return place;
    };
    const [a, b] = await Promise.all([enter('a', 2), enter('b', 2)]);
    const c = enter('c', 3);
    const d = enter('d', 1);
    a[Symbol.dispose]();
    a[Symbol.dispose]();
    await Promise.resolve();
    expect(began).to.deep.equal(['a', 'b', 'c waits', 'd waits']);
    b[Symbol.dispose]();
    await Promise.all([c, d]);
    expect(began.slice(4)).to.deep.equal(['c', 'd']);
  });

  it('runs what never fits alone', async () => {
    const admission = new MemoryAdmission(4);
    const place = await admission.enter(9, never, () => expect.fail('it waits'));
    let waited = false;
    const other = admission.enter(1, never, () => (waited = true));
    expect(waited).to.equal(true);
    place[Symbol.dispose]();
    await other;
  });

  it('gives up with the reason of an abort, and keeps nobody behind it waiting', async () => {
    const admission = new MemoryAdmission(2);
    const place = await admission.enter(1, never, () => undefined);
    const controller = new AbortController();
    const large = admission.enter(2, controller.signal, () => undefined).catch((error: unknown) => error);
    const small = admission.enter(1, never, () => undefined);
    controller.abort(new Error('stop'));
    expect(((await large) as Error).message).to.equal('stop');
    await small;
    place[Symbol.dispose]();
  });
});
