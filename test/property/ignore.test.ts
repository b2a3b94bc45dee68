import { join } from 'node:path';
import { expect } from 'chai';
import { tmpDir } from '../kit/tmp-dir.js';
import { ignoreCase, ignoreOfBuilder, ignoreOfTsbuild, unpackPaths } from './ignore-cases.js';
import { needsNewBuilder, openBuilder } from './tables/builder.js';
import { distinctCases, fuzzCount, fuzzSeed, Random } from './tables/random.js';
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

  const ours = (text: string) => ignoreOfTsbuild(context, state, text);

  function differences(rows: Iterable<[text: string, theirs: string]>): string[] {
    return [...rows].flatMap(([text, theirs]) => {
      const found = ours(text);
      return found === theirs ? [] : [`${JSON.stringify(text)}: ${shown(found)} <> ${shown(theirs)}`];
    });
  }

  const shown = (result: string) => (result === 'error' ? result : unpackPaths(result).join(' '));

  it('in the cases of the table', () => {
    const table = readTable('ignore');
    expect(table.size).to.be.greaterThan(2899);
    expect(differences(table), 'tsbuild <> BuildKit').to.deep.equal([]);
  });

  it('in random cases', async function () {
    needsNewBuilder(this);
    const seed = fuzzSeed();
    const random = new Random(seed);
    const cases = distinctCases(fuzzCount(), () => ignoreCase(random));
    const builder = await openBuilder();
    try {
      const theirs = await ignoreOfBuilder(builder, cases, (text) => ours(text) === 'error');
      const found = differences(cases.map((text, i) => [text, theirs[i]!]));
      expect(found, `FUZZ_SEED=${seed}: tsbuild <> BuildKit`).to.deep.equal([]);
    } finally {
      await builder.stop();
    }
  });
});
