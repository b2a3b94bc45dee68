import { createHash, randomFillSync } from 'node:crypto';
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { digestOf } from '../../../src/oci/digest.js';
import { FileHashThread, FollowingHash } from '../../../src/worker/sys/file-hash.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const dir = tmpDir();

describe('hashing on another core', () => {
  it('gives the digests of files in the order in which they were asked for', async () => {
    const thread = new FileHashThread();
    const texts = ['', 'a', 'b'.repeat(3 << 20)];
    const files = texts.map((text, i) => {
      const path = join(dir, `f${i}`);
      writeFileSync(path, text);
      return { path, size: text.length };
    });
    const digests = await Promise.all(files.map(({ path, size }) => thread.digest(path, size)));
    expect(digests).to.deep.equal(texts.map((text) => digestOf(text)));
    expect(await thread.digest(files[2]!.path, 5)).to.equal(digestOf('bbbbb'));
  });

  it('says what is wrong with one file and goes on with the next', async () => {
    const thread = new FileHashThread();
    const missing = thread.digest(join(dir, 'missing'), 1);
    writeFileSync(join(dir, 'present'), 'x');
    const present = thread.digest(join(dir, 'present'), 1);
    const error = await missing.catch((caught: unknown) => caught);
    expect((error as NodeJS.ErrnoException).code).to.equal('ENOENT');
    expect(await present).to.equal(digestOf('x'));
  });

  it('follows a file that is being written', () => {
    const path = join(dir, 'growing');
    const fd = openSync(path, 'wx');
    const expected = createHash('sha256');
    const part = Buffer.alloc(1 << 20);
    const following = new FollowingHash(path, 0);
    for (let i = 1; i <= 20; i++) {
      writeSync(fd, randomFillSync(part));
      expected.update(part);
      following.advance(i * part.length);
    }
    closeSync(fd);
    expect(following.finish()).to.equal(`sha256:${expected.digest('hex')}`);
  });

  it('gives no digest of a file that it cannot read', () => {
    const following = new FollowingHash(join(dir, 'never'), 10);
    expect(following.finish()).to.equal(undefined);
  });

  it('does not keep the process, and can be abandoned', async () => {
    const path = join(dir, 'abandoned');
    writeFileSync(path, 'x');
    const following = new FollowingHash(path, 1);
    following.abandon();
    rmSync(path);
    expect(following.finish()).to.equal(undefined);
  });
});
