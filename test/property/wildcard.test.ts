import { join } from 'node:path';
import { expect } from 'chai';
import { tmpDir } from '../kit/tmp-dir.js';
import { needsNewBuilder, openBuilder } from './tables/builder.js';
import { distinctCases, fuzzCount, fuzzSeed, Random } from './tables/random.js';
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

  const ours = (text: string) => wildcardOfTsbuild(context, state, text);

  async function differences(rows: Iterable<[text: string, theirs: string]>): Promise<string[]> {
    const differing: string[] = [];
    for (const [text, theirs] of rows) {
      const found = await ours(text);
      if (!isEqual(text, found, theirs)) differing.push(`COPY ${text}: ${found} <> ${theirs}`);
    }
    return differing;
  }

  /** Of two sources that are both wrong, BuildKit may name the second one. */
  function isEqual(text: string, found: string, theirs: string): boolean {
    const isTwice = text.replace(/^--from=tree /, '').split(/" *, *"| /).length > 2;
    return found === theirs || (isTwice && found.startsWith('error') && theirs.startsWith('error'));
  }

  it('in the cases of the table', async () => {
    const table = readTable('wildcard');
    expect(table.size).to.be.greaterThan(3499);
    expect(await differences(table), 'tsbuild <> BuildKit').to.deep.equal([]);
  });

  it('in random cases', async function () {
    needsNewBuilder(this);
    const seed = fuzzSeed();
    const random = new Random(seed);
    const cases = distinctCases(fuzzCount(), () => wildcardCase(random));
    const fails = async (text: string) => (await ours(text)).startsWith('error');
    const builder = await openBuilder();
    try {
      const theirs = await wildcardOfBuilder(builder, cases, fails);
      const found = await differences(cases.map((text, i) => [text, theirs[i]!]));
      expect(found, `FUZZ_SEED=${seed}: tsbuild <> BuildKit`).to.deep.equal([]);
    } finally {
      await builder.stop();
    }
  });
});
