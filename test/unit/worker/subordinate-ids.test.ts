import { expect } from 'chai';
import { commandForRanges, firstFreeId } from '../../../src/worker/sys/subordinate-ids.js';

describe('subordinate ids', () => {
  it('that are proposed are nobody else’s', () => {
    const range = (first: number, count = 65_536) => ({ first, count });
    for (const [taken, first] of [
      [[], 100_000],
      [[range(100_000)], 165_536],
      [[range(231_072), range(100_000)], 165_536],
      [[range(160_000, 10)], 160_010],
      [[range(165_000, 70_000), range(100_000)], 235_000],
      [[range(1, 99_999)], 100_000],
    ] as const) {
      expect(firstFreeId(taken), JSON.stringify(taken)).to.equal(first);
    }
  });

  it('come with the command that gives them', () => {
    const root = 0;
    expect(commandForRanges(root)).to.match(/^usermod --add-subuids (\d+-\d+) --add-subgids \1 root$/);
  });
});
