import { expect } from 'chai';
import { expansionCase, expansionOfBuilder, expansionOfTsbuild } from './expansion-cases.js';
import { differences, randomRows } from './tables/compare.js';
import { readTable } from './tables/table.js';

describe('quotes, escapes and variables give what BuildKit makes of them', function () {
  this.timeout(300_000);
  const comparison = { ours: expansionOfTsbuild };

  it('in the cases of the table', async () => {
    const table = readTable('expansion');
    expect(table.size).to.be.greaterThan(3499);
    expect(await differences(table, comparison), 'tsbuild <> BuildKit').to.deep.equal([]);
  });

  it('in random cases', async function () {
    const fails = async (text: string) => (await expansionOfTsbuild(text)) === 'error';
    const { seed, rows } = await randomRows(this, expansionCase, (builder, cases) =>
      expansionOfBuilder(builder, cases, fails),
    );
    expect(await differences(rows, comparison), `FUZZ_SEED=${seed}: tsbuild <> BuildKit`).to.deep.equal([]);
  });
});
