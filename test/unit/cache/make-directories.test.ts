import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { makeDirectories } from '../../../src/cache/make-directories.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('making directories', () => {
  it('makes what is missing with the mode, through links, and leaves what is there', () => {
    const root = tmpDir();
    mkdirSync(join(root, 'there'), 0o755);
    symlinkSync('there', join(root, 'link'));
    makeDirectories(join(root, 'link/a/b'), 0o700);
    makeDirectories(join(root, 'link/a/b'));
    const modes = ['there', 'there/a', 'there/a/b'].map((name) => statSync(join(root, name)).mode & 0o777);
    expect(modes).to.deep.equal([0o755, 0o700, 0o700]);
    makeDirectories('/');
  });

  it('ends at once where none can be made', () => {
    const root = tmpDir();
    writeFileSync(join(root, 'file'), '');
    expect(() => makeDirectories(join(root, 'file'))).to.throw('EEXIST');
    expect(() => makeDirectories(join(root, 'file/a/b'))).to.throw('ENOTDIR');
    expect(() => makeDirectories('/proc/nope/x')).to.throw('ENOENT');
  });
});
