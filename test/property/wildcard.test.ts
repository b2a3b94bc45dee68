import { join } from 'node:path';
import { expect } from 'chai';
import { tmpDir } from '../kit/tmp-dir.js';
import { differences, randomRows } from './tables/compare.js';
import { readTable } from './tables/table.js';
import { makeTree } from './tables/tree.js';
import { wildcardCase, wildcardOfBuilder, wildcardOfTsbuild } from './wildcard-cases.js';

describe('COPY with wildcards copies what BuildKit copies', function () {
  this.timeout(300_000);
  let context: string;
  let state: string;

  before(() => {
    context = makeTree(join(tmpDir(), 'context'));
    state = tmpDir();
  });

  const comparison = {
    ours: (text: string) => wildcardOfTsbuild(context, state, text),
    /** Of two sources that are both wrong, BuildKit may name the second one. */
    isEqual(text: string, ours: string, theirs: string): boolean {
      const isTwice = text.replace(/^--from=tree /, '').split(/" *, *"| /).length > 2;
      return ours === theirs || (isTwice && ours.startsWith('error') && theirs.startsWith('error'));
    },
    show: (text: string, ours: string, theirs: string) => `COPY ${text}: ${ours} <> ${theirs}`,
  };

  it('in the cases of the table', async () => {
    const table = readTable('wildcard');
    expect(table.size).to.be.greaterThan(3499);
    expect(await differences(table, comparison), 'tsbuild <> BuildKit').to.deep.equal([]);
  });

  it('in random cases', async function () {
    const fails = async (text: string) => (await comparison.ours(text)).startsWith('error');
    const { seed, rows } = await randomRows(this, wildcardCase, (builder, cases) =>
      wildcardOfBuilder(builder, cases, fails),
    );
    expect(await differences(rows, comparison), `FUZZ_SEED=${seed}: tsbuild <> BuildKit`).to.deep.equal([]);
  });
});
