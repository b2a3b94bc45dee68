import { expect } from 'chai';
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ByteSearch } from '../../../src/secrets/byte-search.js';
import { findFilesThatTell } from '../../../src/secrets/file-search.js';
import { removeFilesThatTell } from '../../../src/secrets/remove-files.js';
import type { SecretSearch } from '../../../src/secrets/secret-vault.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const SECRET = Buffer.from('hush\xe9hush', 'latin1');
const search: SecretSearch = { search: new ByteSearch([SECRET]), forms: [] };
/** A name that is not UTF-8. */
const named = (directory: string, name: string) =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, 'latin1')]);

describe('the search for secrets in files', () => {
  it('reads names as bytes, and removes what has them', () => {
    const root = tmpDir();
    mkdirSync(named(root, 'd\xe9'));
    writeFileSync(named(root, 'd\xe9/harmless\xe9'), 'x');
    writeFileSync(named(root, 'd\xe9/content\xe9'), Buffer.concat([Buffer.from('- '), SECRET]));
    mkdirSync(named(root, 'a hush\xe9hush'));
    writeFileSync(named(root, 'a hush\xe9hush/b\xe9'), 'x');
    symlinkSync(SECRET, join(root, 'link'));
    const found = ['/a hush\ufffdhush', '/d\ufffd/content\ufffd', '/link'];
    const paths = findFilesThatTell(root, search).map(({ path }) => path);
    expect(paths.toSorted()).to.deep.equal(found);
    expect(removeFilesThatTell(root, search).toSorted()).to.deep.equal(found);
    expect(findFilesThatTell(root, search)).to.deep.equal([]);
    expect(readdirSync(root)).to.have.length(1);
    expect(readdirSync(named(root, 'd\xe9'))).to.have.length(1);
  });

  it('ignores what goes while it looks', () => {
    const root = tmpDir();
    for (const name of ['a', 'b']) writeFileSync(join(root, name), '');
    symlinkSync('x', join(root, 'link'));
    mkdirSync(join(root, 'directory'));
    const removing = {
      find: () => {
        for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
        return undefined;
      },
    } as unknown as ByteSearch;
    expect(findFilesThatTell(root, { ...search, search: removing })).to.deep.equal([]);
  });
});
