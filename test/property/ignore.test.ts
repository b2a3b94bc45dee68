import { join } from 'node:path';
import { expect } from 'chai';
import { tmpDir } from '../kit/tmp-dir.js';
import { ignoreCase, ignoreOfBuilder, ignoreOfTsbuild, unpackPaths } from './ignore-cases.js';
import { differences, randomRows } from './tables/compare.js';
import { readTable } from './tables/table.js';
import { makeTree } from './tables/tree.js';

describe('an ignore file leaves out what BuildKit leaves out', function () {
  this.timeout(300_000);
  let context: string;
  let state: string;

  before(() => {
    context = makeTree(join(tmpDir(), 'context'));
    state = tmpDir();
  });

  const paths = (result: string) => (result === 'error' ? result : unpackPaths(result).join(' '));
  const comparison = {
    ours: (text: string) => ignoreOfTsbuild(context, state, text),
    show: (text: string, ours: string, theirs: string) =>
      `${JSON.stringify(text)}: ${paths(ours)} <> ${paths(theirs)}`,
  };

  it('in the cases of the table', async () => {
    const table = readTable('ignore');
    expect(table.size).to.be.greaterThan(2899);
    expect(await differences(table, comparison), 'tsbuild <> BuildKit').to.deep.equal([]);
  });

  it('in random cases', async function () {
    const { seed, rows } = await randomRows(this, ignoreCase, (builder, cases) =>
      ignoreOfBuilder(builder, cases, (text) => comparison.ours(text) === 'error'),
    );
    expect(await differences(rows, comparison), `FUZZ_SEED=${seed}: tsbuild <> BuildKit`).to.deep.equal([]);
  });
});
