import { expect } from 'chai';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMeasuringDue } from '../../../src/prune/account.js';
import { openStore } from '../../../src/store.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const GIGABYTE = 1024 ** 3;

describe('the account of what a store takes', () => {
  const stateOf = (root: string) => {
    using store = openStore({ root });
    return store.state;
  };

  it('begins with a store that was just made, which need not be measured', () => {
    const state = stateOf(tmpDir());
    expect(isMeasuringDue(state, GIGABYTE)).to.equal(false);
    expect(isMeasuringDue(state, -1)).to.equal(true);
  });

  it('is missing where a store lost it with its version, but not what is in it: then it is measured', () => {
    const root = tmpDir();
    const state = stateOf(root);
    writeFileSync(join(state.content, 'something'), '');
    for (const lost of ['usage.json', 'version']) rmSync(join(root, lost));
    expect(isMeasuringDue(stateOf(root), GIGABYTE)).to.equal(true);
    expect(existsSync(join(root, 'usage.json'))).to.equal(false);
  });
});
