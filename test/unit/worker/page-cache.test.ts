import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { forgetBehind } from '../../../src/worker/sys/page-cache.js';
import { needs } from '../../kit/needs.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const MIB = 1 << 20;
const TMPFS_MAGIC = 0x01021994;

describe('a file that is read once', () => {
  it('leaves the memory as far as it was read, and stays as it is', function () {
    needs(this, { program: 'fincore' });
    const path = join(tmpDir(), 'file');
    if (statfsSync(tmpDir()).type === TMPFS_MAGIC) this.skip();
    const data = Buffer.alloc(32 * MIB, 'x');
    writeFileSync(path, data);
    const fd = openSync(path, 'r+');
    try {
      fsyncSync(fd);
      const forget = forgetBehind(fd);
      for (let readTo = MIB; readTo <= 20 * MIB; readTo += MIB) forget(readTo);
      expect(residentBytes(path)).to.be.within(12 * MIB, 13 * MIB);
    } finally {
      closeSync(fd);
    }
    expect(readFileSync(path).equals(data)).to.equal(true);
  });

  const residentBytes = (path: string) =>
    Number(
      execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'res', path], { encoding: 'utf8' }),
    );
});
