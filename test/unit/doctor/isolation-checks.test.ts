import { expect } from 'chai';
import { ISOLATION_CHECKS } from '../../../src/doctor/isolation-checks.js';

describe('what tsbuild doctor says of isolation', () => {
  const wanted = process.env['TSBUILD_EXECUTOR'];
  afterEach(() => {
    if (wanted === undefined) delete process.env['TSBUILD_EXECUTOR'];
    else process.env['TSBUILD_EXECUTOR'] = wanted;
  });

  const find = async (name: string) => ISOLATION_CHECKS.find((check) => check.name === name)!.check();

  it('names the way out of all that is missing', async () => {
    for (const { name, check } of ISOLATION_CHECKS) {
      const finding = await check();
      expect(finding.detail, name).to.not.equal('');
      if (finding.status !== 'ok') expect(finding.mend, name).to.not.equal('');
    }
  });

  it('tells what the embedded sandbox lacks', async () => {
    process.env['TSBUILD_EXECUTOR'] = 'sandbox';
    const finding = await find('executor');
    expect(finding.status).to.equal('warning');
    expect(finding.detail).to.contain('no filter of system calls');
  });

  it('fails where there is nothing to run steps with', async () => {
    process.env['TSBUILD_EXECUTOR'] = 'no-such-runtime';
    expect((await find('executor')).status).to.equal('failed');
  });
});
