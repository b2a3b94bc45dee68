import { expect } from 'chai';
import { expansionCase, expansionOfBuilder, expansionOfTsbuild } from './expansion-cases.js';
import { needsNewBuilder, openBuilder } from './tables/builder.js';
import { distinctCases, fuzzCount, fuzzSeed, Random } from './tables/random.js';
import { readTable } from './tables/table.js';

describe('quotes, escapes and variables give what BuildKit makes of them', function () {
  this.timeout(300_000);

  async function differences(rows: Iterable<[text: string, theirs: string]>): Promise<string[]> {
    const found: string[] = [];
    for (const [text, theirs] of rows) {
      const ours = await expansionOfTsbuild(text);
      if (ours === theirs) continue;
      found.push(`${text}: ${ours} <> ${theirs}`);
    }
    return found;
  }

  it('in the cases of the table', async () => {
    const table = readTable('expansion');
    expect(table.size).to.be.greaterThan(3499);
    expect(await differences(table), 'tsbuild <> BuildKit').to.deep.equal([]);
  });

  it('in random cases', async function () {
    needsNewBuilder(this);
    const seed = fuzzSeed();
    const random = new Random(seed);
    const cases = distinctCases(fuzzCount(), () => expansionCase(random));
    const fails = async (text: string) => (await expansionOfTsbuild(text)) === 'error';
    const builder = await openBuilder();
    try {
      const theirs = await expansionOfBuilder(builder, cases, fails);
      const found = await differences(cases.map((text, i) => [text, theirs[i]!]));
      expect(found, `FUZZ_SEED=${seed}: tsbuild <> BuildKit`).to.deep.equal([]);
    } finally {
      await builder.stop();
    }
  });
});
