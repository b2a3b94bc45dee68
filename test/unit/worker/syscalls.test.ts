import { expect } from 'chai';
import { lstatSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getXattr, listXattrs, setTimesNs, setXattr } from '../../../src/worker/sys/syscalls.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('system calls that Node lacks', () => {
  it('keep the bytes of extended attributes', () => {
    const file = join(tmpDir(), 'file');
    writeFileSync(file, '');
    const value = Buffer.from(Array.from({ length: 3000 }, (_, i) => i % 256));
    setXattr(file, 'user.z', value);
    setXattr(file, 'user.a', Buffer.alloc(0));
    expect(listXattrs(file).filter((name) => name.startsWith('user.'))).to.deep.equal(['user.a', 'user.z']);
    expect(getXattr(file, 'user.z')).to.deep.equal(value);
    expect(getXattr(file, 'user.a')).to.deep.equal(Buffer.alloc(0));
    expect(getXattr(file, 'user.none')).to.equal(undefined);
  });

  it('set times to the nanosecond, of a symlink itself', () => {
    const link = join(tmpDir(), 'link');
    symlinkSync('/nowhere', link);
    setTimesNs(link, 5n, 1_700_000_000_123_456_789n);
    expect(lstatSync(link, { bigint: true }).mtimeNs).to.equal(1_700_000_000_123_456_789n);
  });

  it("fail with an error like Node's", () => {
    expect(() => getXattr('/not/there', 'user.a'))
      .to.throw(/ENOENT.*"\/not\/there"/)
      .with.property('code', 'ENOENT');
  });
});
