import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inUseSinceMs, listLeases, markUsed, takeLease } from '../../../src/cache/leases.js';
import { isLiving, processStamp, stampOf } from '../../../src/cache/process-stamp.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('the stamp of a process', () => {
  it('is found in the names of its files', () => {
    for (const name of [processStamp(), `.${processStamp()}-7`, `${processStamp()}.tmp`])
      expect(stampOf(name)).to.equal(processStamp());
    for (const name of ['abc', '12-34', `${processStamp()}9`, `x${processStamp()}`])
      expect(stampOf(name)).to.not.equal(processStamp());
  });

  it('tells whether it lives, whatever took its pid later', async () => {
    expect(isLiving(processStamp())).to.equal(true);
    const [pid, ticks, namespace] = processStamp().split('-');
    expect(isLiving(`${pid}-${Number(ticks) - 1}-${namespace}`)).to.equal(false);
    const child = spawn('true');
    await once(child, 'exit');
    expect(isLiving(`${child.pid}-${ticks}-${namespace}`)).to.equal(false);
  });

  it('of another pid namespace tells nothing', () => {
    expect(isLiving(processStamp().replace(/\d+$/, '1'))).to.equal(undefined);
  });
});

describe('a lease', () => {
  it('is there from the opening of the store to its end', () => {
    const dir = join(tmpDir(), 'leases');
    {
      using lease = takeLease(dir);
      expect(listLeases(dir)).to.have.length(1);
      expect(inUseSinceMs(dir)).to.equal(lease.sinceMs);
    }
    expect(readdirSync(dir)).to.deep.equal([]);
    expect(inUseSinceMs(dir)).to.equal(Infinity);
  });

  it('of the oldest living process decides what is in use', () => {
    const dir = join(tmpDir(), 'leases');
    using own = takeLease(dir);
    const [pid, ticks, namespace] = processStamp().split('-');
    const leases = {
      [`${processStamp()}-900`]: 2000,
      [`${pid}-${Number(ticks) - 1}-${namespace}-0`]: 1000,
      [`${pid}-${ticks}-1-0`]: 1500,
    };
    for (const [name, timeSec] of Object.entries(leases)) {
      writeFileSync(join(dir, name), '');
      utimesSync(join(dir, name), timeSec, timeSec);
    }
    expect(listLeases(dir).filter((lease) => !lease.living)).to.have.length(2);
    expect(inUseSinceMs(dir)).to.equal(2_000_000);
    rmSync(join(dir, `${processStamp()}-900`));
    expect(inUseSinceMs(dir, own)).to.equal(Infinity);
  });

  it('does not fail a command whose store cannot be written', () => {
    using lease = takeLease('/proc/leases');
    expect(lease.sinceMs).to.be.closeTo(Date.now(), 1000);
  });

  it('is older than everything that its process uses, also when the clock goes back', () => {
    const dir = tmpDir();
    using lease = takeLease(join(dir, 'leases'));
    const file = join(dir, 'file');
    writeFileSync(file, '');
    const now = Date.now;
    Date.now = () => now() - 3_600_000;
    try {
      expect(markUsed(file)).to.equal(true);
    } finally {
      Date.now = now;
    }
    expect(statSync(file).mtimeMs).to.be.at.least(Math.floor(lease.sinceMs));
    rmSync(file);
    expect(markUsed(file)).to.equal(false);
  });
});
