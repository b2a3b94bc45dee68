import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  readChecked,
  writeChecked,
  writeCheckedRows,
  writeNamedRows,
} from '../../../src/cache/checked-file.js';
import { digestHex, digestOf } from '../../../src/oci/digest.js';
import { tmpDir } from '../../kit/tmp-dir.js';

describe('a file that tells whether it is whole', () => {
  const path = join(tmpDir(), 'in/a/directory');

  it('gives back what was written', () => {
    writeChecked(path, 'text \u{1f600}\n');
    expect(readChecked(path)).to.equal('text \u{1f600}\n');
    const long = 'x\u{1f600}'.repeat(1_000_000);
    writeChecked(path, long);
    expect(readChecked(path)).to.equal(long);
  });

  for (const [name, rows] of [
    ['no rows', []],
    ['some rows', [1, 'two', { three: 3 }]],
    ['rows that are long', ['a', 'é', '\u{1f600}', '"\n'].map((text) => text.repeat(400_000))],
    ['many rows', Array.from({ length: 60_000 }, (_, i) => [`path/${i}/\u{1f600}`, i])],
  ] as const) {
    it(`is the same written row by row: ${name}`, () => {
      writeCheckedRows(path, rows, ['{"rows":', ',"more":1}']);
      expect(readChecked(path)).to.equal(JSON.stringify({ rows, more: 1 }));
      writeCheckedRows(path, rows);
      expect(readChecked(path)).to.equal(JSON.stringify(rows));
    });

    it(`is named by its digest: ${name}`, () => {
      const directory = join(tmpDir(), 'new');
      const digest = writeNamedRows(directory, rows);
      expect(digest).to.equal(digestOf(JSON.stringify(rows)));
      expect(readdirSync(directory)).to.deep.equal([digestHex(digest)]);
      expect(readChecked(join(directory, digestHex(digest)))).to.equal(JSON.stringify(rows));
    });
  }

  it('is as it was when its rows end with an error, and nothing lies beside it', () => {
    writeChecked(path, 'before');
    const rows = function* () {
      yield 'x'.repeat(1 << 20);
      throw new Error('no more');
    };
    expect(() => writeCheckedRows(path, rows())).to.throw('no more');
    expect(readChecked(path)).to.equal('before');
    expect(readdirSync(join(path, '..'))).to.deep.equal(['directory']);
  });

  it('counts as absent when it was damaged, and is removed', () => {
    writeCheckedRows(path, ['some', 'rows']);
    writeFileSync(path, 'x', { flag: 'a' });
    expect(readChecked(path)).to.equal(undefined);
    expect(readdirSync(join(path, '..'))).to.deep.equal([]);
  });
});
