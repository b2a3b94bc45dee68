import { expect } from 'chai';
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  copyFileRange,
  getXattr,
  listXattrs,
  setTimesNs,
  setXattr,
  spreadSubdirectories,
} from '../../../src/worker/sys/syscalls.js';
import { callLibc } from '../../../src/worker/sys/libc.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const EXT4 = 0xef53;
const TOPDIR = 0x20000;

function flagsOf(dir: string): number {
  const fd = openSync(dir, 'r');
  try {
    const flags = new Int32Array(2);
    callLibc('int ioctl(int fd, ulong request, void *argument)', [fd, 0x80086601, flags]);
    return flags[0]!;
  } finally {
    closeSync(fd);
  }
}

describe('system calls that Node lacks', () => {
  it('copy a part of a file from where it stands to where another stands', () => {
    const dir = tmpDir();
    writeFileSync(join(dir, 'from'), '0123456789');
    const [source, target] = [openSync(join(dir, 'from'), 'r'), openSync(join(dir, 'to'), 'w+')];
    readSync(source, Buffer.alloc(2));
    writeSync(target, 'ab');
    expect(copyFileRange(source, target, 5)).to.equal(5);
    expect(copyFileRange(source, target, 100)).to.equal(3);
    expect(copyFileRange(source, target, 100)).to.equal(0);
    expect(readFileSync(join(dir, 'to'), 'utf8')).to.equal('ab23456789');
    // A directory has no bytes, and nothing else happens.
    expect(copyFileRange(openSync(dir, 'r'), target, 1)).to.equal(0);
  });

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

  it('set times before 1970, with a fraction too', () => {
    const file = join(tmpDir(), 'file');
    writeFileSync(file, '');
    for (const time of [-1n, -1_500_000_000n, -2_000_000_000n, 0n]) {
      setTimesNs(file, time, time);
      expect(lstatSync(file, { bigint: true }).mtimeNs).to.equal(time);
    }
  });

  it('tell ext4 that subdirectories are unrelated', function () {
    const dir = tmpDir();
    if (statfsSync(dir).type !== EXT4) this.skip();
    expect(flagsOf(dir) & TOPDIR).to.equal(0);
    for (let i = 0; i < 2; i++) spreadSubdirectories(dir);
    expect(flagsOf(dir)).to.equal(flagsOf(tmpDir()) | TOPDIR);
  });

  it('tell nothing to a file system that has no such hint', () => {
    const dir = mkdtempSync('/dev/shm/tsbuild-test-');
    try {
      expect(() => spreadSubdirectories(dir)).not.to.throw();
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("fail with an error like Node's", () => {
    expect(() => getXattr('/not/there', 'user.a'))
      .to.throw(/ENOENT.*"\/not\/there"/)
      .with.property('code', 'ENOENT');
  });
});
