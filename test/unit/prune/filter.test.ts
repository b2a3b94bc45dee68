import { expect } from 'chai';
import { parseAge, parseFilters } from '../../../src/prune/filter.js';
import type { StoreItem } from '../../../src/prune/item.js';
import { digestOf } from '../../../src/oci/digest.js';
import { codeOf } from '../../kit/code-of.js';

const now = Date.parse('2026-03-01T12:00:00Z');
const item: StoreItem = {
  id: 'abcdef012345-directory',
  type: 'directory',
  description: '[2/3] RUN make',
  paths: [],
  lastUsedMs: now - 2 * 3_600_000,
  rebuildMs: 0,
  images: [],
  inUse: false,
  diffId: digestOf('x'),
};

describe('filters of prune', () => {
  for (const [filters, matches] of [
    [[], true],
    [['until=1h'], true],
    [['until=3h'], false],
    [['type=directory'], true],
    [['type=layer'], true],
    [['type=mount'], false],
    [['type!=mount'], true],
    [['type!=layer'], false],
    [['type=mount', 'type=layer'], true],
    [['type=layer', 'until=3h'], false],
    [['type=layer,until=1h'], true],
    [['id=abcdef'], true],
    [['id=bcdef'], false],
    [[`id=${digestOf('x')}`], true],
    [['description~=RUN (make|ls)$'], true],
    [['description~=a,b'], false],
    [['description=[2/3] RUN make'], true],
  ] as const) {
    it(`${matches ? 'take' : 'leave out'} a layer's directory for ${JSON.stringify(filters)}`, () => {
      expect(parseFilters(filters)(item, now)).to.equal(matches);
    });
  }

  for (const filter of ['until=never', 'type=volume', 'size=3', 'type', 'id~=(', 'until!=3h']) {
    it(`say what is wrong with "${filter}"`, async () => {
      expect(await codeOf(Promise.resolve().then(() => parseFilters([filter])))).to.equal('USAGE');
    });
  }

  it('know durations', () => {
    expect(['90s', '1h30m', '7d', '1.5h'].map(parseAge)).to.deep.equal([90e3, 5400e3, 604800e3, 5400e3]);
  });
});
