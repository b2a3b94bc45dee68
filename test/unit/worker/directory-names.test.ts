import { expect } from 'chai';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LocalContext } from '../../../src/worker/source/local-context.js';
import { listNames, readLinkTarget } from '../../../src/worker/sys/directory-names.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const bytesIn = (directory: string, name: string) => Buffer.from(join(directory, name), 'latin1');

describe('names of files', () => {
  it('may be any UTF-8, the replacement character too', () => {
    const directory = tmpDir();
    for (const name of ['\uFFFD', 'ä', '\n', '😀']) writeFileSync(join(directory, name), '');
    expect(listNames(directory).sort()).to.deep.equal(['\uFFFD', 'ä', '\n', '😀'].sort());
  });

  it('that are not UTF-8 are an error that shows their bytes, not the name of another file', () => {
    const directory = tmpDir();
    writeFileSync(join(directory, 'bad\uFFFD'), 'another');
    writeFileSync(bytesIn(directory, 'bad\xff'), 'one');
    expect(() => listNames(directory))
      .to.throw('is not UTF-8: "bad\\xff"')
      .with.property('code', 'FILE_OPERATION_FAILED');
    const context = new LocalContext(directory, [], { statRoot: tmpDir() });
    expect(() => context.list('')).to.throw('is not UTF-8: "bad\\xff"');
  });

  it('that links have as targets are no less', () => {
    const directory = tmpDir();
    symlinkSync(Buffer.from('x\xfe', 'latin1'), join(directory, 'link'));
    symlinkSync('ü\uFFFD', join(directory, 'good'));
    expect(() => readLinkTarget(join(directory, 'link'))).to.throw('target is not UTF-8: "x\\xfe"');
    expect(readLinkTarget(join(directory, 'good'))).to.equal('ü\uFFFD');
  });
});
