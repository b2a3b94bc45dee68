import { expect } from 'chai';
import { parseResources } from '../../../src/cli/resource-option.js';
import { codeOf } from '../../kit/code-of.js';

describe('--resource', () => {
  it('limits each step, or with scope=build all of them', () => {
    const specs = ['memory=1g,cpus=1.5', 'scope=build,memory=4g', 'pids=100'];
    expect(parseResources(specs)).to.deep.equal({
      step: { memoryBytes: 2 ** 30, cpus: 1.5, pids: 100 },
      build: { memoryBytes: 2 ** 32 },
    });
  });

  it('takes every limit of docker run', () => {
    const spec =
      'memory-swap=-1,cpu-shares=20,cpu-quota=5000,cpu-period=10000,cpuset-cpus=0-1,3,cpuset-mems=0';
    expect(parseResources([spec]).step).to.deep.equal({
      memorySwapBytes: -1,
      cpuShares: 20,
      cpuQuotaUs: 5000,
      cpuPeriodUs: 10_000,
      cpusetCpus: '0-1,3',
      cpusetMems: '0',
    });
  });

  for (const wrong of [
    'memory',
    'memory=much',
    'cpus=-1',
    'speed=9',
    'cpuset-cpus=all',
    'scope=world,pids=1',
    'io=/etc/passwd:rbps=1',
  ]) {
    it(`refuses ${wrong}`, async () => {
      expect(await codeOf(Promise.resolve().then(() => parseResources([wrong])))).to.equal('USAGE');
    });
  }
});
