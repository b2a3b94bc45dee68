import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../../../src/oci/digest.js';
import { forgetStatIndex, StatIndex } from '../../../src/worker/source/stat-index.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const STAT = { size: 1, mtimeMs: 1000, ctimeMs: 2000, ino: 3 };
const DIGEST = digestOf('x');

describe('what is known of the files of a context', () => {
  let statRoot: string;
  const contents = () =>
    new Map(readdirSync(statRoot).map((name) => [name, readFileSync(join(statRoot, name), 'utf8')]));

  function learn(...paths: string[]): void {
    const index = new StatIndex(statRoot, '/context');
    for (const path of paths) index.remember(path, { ...STAT, digest: DIGEST });
    index.save();
  }

  beforeEach(() => (statRoot = tmpDir()));

  it('is known to the next build, at the top and below', () => {
    learn('a', 'b/c', 'b/c/d');
    learn('b/e');
    const index = new StatIndex(statRoot, '/context');
    for (const path of ['a', 'b/c', 'b/c/d', 'b/e']) expect(index.find(path, STAT), path).to.equal(DIGEST);
    expect(index.find('c', STAT)).to.equal(undefined);
    expect(new StatIndex(statRoot, '/other').find('a', STAT)).to.equal(undefined);
  });

  for (const field of ['size', 'mtimeMs', 'ctimeMs', 'ino'] as const)
    it(`is not believed where the file has another ${field}`, () => {
      learn('b/c');
      expect(new StatIndex(statRoot, '/context').find('b/c', { ...STAT, [field]: 7 })).to.equal(undefined);
    });

  it('is written anew for the directory alone in which something was learned', () => {
    learn('a', 'node_modules/b', 'src/c');
    const before = contents();
    learn('src/d');
    const changed = [...contents()].filter(([name, text]) => before.get(name) !== text);
    expect([before.size, changed.length]).to.deep.equal([3, 1]);
  });

  it('is forgotten whole', () => {
    learn('a', 'b/c');
    forgetStatIndex(statRoot, '/other');
    expect(contents().size).to.equal(2);
    forgetStatIndex(statRoot, '/context');
    expect(contents().size).to.equal(0);
  });
});
