import { expect } from 'chai';
import { readdirSync } from 'node:fs';
import { prunedAtMs, rememberPruned } from '../../../src/cache/pruned.js';
import { digestOf } from '../../../src/oci/digest.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const day = 86_400_000;
const now = Date.parse('2026-03-01T12:00:00Z');

describe('what is remembered of pruned records', () => {
  it('tells when a key was pruned, the last time where it was several times', () => {
    const directory = tmpDir();
    rememberPruned(directory, [digestOf('a'), digestOf('b')], now - 2 * day);
    rememberPruned(directory, [digestOf('b')], now);
    expect(prunedAtMs(directory, digestOf('a'))).to.equal(now - 2 * day);
    expect(prunedAtMs(directory, digestOf('b'))).to.equal(now);
    expect(prunedAtMs(directory, digestOf('c'))).to.equal(undefined);
  });

  it('is forgotten after 30 days', () => {
    const directory = tmpDir();
    rememberPruned(directory, [digestOf('a')], now - 31 * day);
    rememberPruned(directory, [digestOf('b')], now);
    expect(prunedAtMs(directory, digestOf('a'))).to.equal(undefined);
    expect(readdirSync(directory)).to.deep.equal(['2026-03-01']);
  });
});
