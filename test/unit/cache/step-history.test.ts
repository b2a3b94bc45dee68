import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type StepAccount, StepHistory } from '../../../src/cache/step-history.js';
import type { FileListing } from '../../../src/graph/contract.js';
import { digestHex, digestOf } from '../../../src/oci/digest.js';
import { tmpDir } from '../../kit/tmp-dir.js';

function account(version: string, more: Partial<StepAccount> = {}): StepAccount {
  return {
    position: 'app#1',
    name: '[app 2/3] COPY . .',
    definition: digestOf(version),
    atMs: Number(version),
    outcome: 'made',
    components: {},
    inputs: [],
    ...more,
  };
}

const LAST = { atMs: 1, steps: [] };

const LISTING: FileListing = new Map([
  ['a', { type: 'file', mode: 0o644, owner: '0:0', digest: '0123456789abcdef' }],
  ['b', { type: 'symlink', mode: 0o777, owner: '0:0', link: 'a' }],
]);

function setMtime(path: string, secondsFromNow: number): void {
  const time = Date.now() / 1000 + secondsFromNow;
  utimesSync(path, time, time);
}

describe('step history', () => {
  it('gives accounts back, the newest first, to another process', () => {
    const root = tmpDir();
    new StepHistory(root, ['/app']).save([account('1')], LAST);
    new StepHistory(root, ['/app']).save([account('2')], LAST);
    expect(new StepHistory(root, ['/app']).accounts()).to.deep.equal([account('2'), account('1')]);
    expect(new StepHistory(root, ['/other']).accounts()).to.deep.equal([]);
  });

  it('keeps six versions of a step', () => {
    const history = new StepHistory(tmpDir(), ['/app']);
    for (let i = 1; i <= 9; i++) history.save([account(String(i))], LAST);
    expect(history.accounts().map(({ atMs }) => atMs)).to.deep.equal([9, 8, 7, 6, 5, 4]);
  });

  it('keeps what an older account of the same version knows of the run and its inputs', () => {
    const history = new StepHistory(tmpDir(), ['/app']);
    const input = { name: 'x', definition: digestOf('in') };
    const run = { atMs: 1, miss: { outcome: 'miss', changes: [{ kind: 'first', isAdded: false }] } } as const;
    history.save([account('1', { inputs: [{ ...input, content: digestOf('files') }], run })], LAST);
    history.save([account('1', { inputs: [input], atMs: 5 })], LAST);
    const [only, ...others] = history.accounts();
    expect(others).to.deep.equal([]);
    expect(only).to.deep.equal(
      account('1', { atMs: 5, run, inputs: [{ ...input, content: digestOf('files') }] }),
    );
  });

  it('keeps listings while an account names them, and no longer', () => {
    const root = tmpDir();
    const history = new StepHistory(root, ['/app']);
    const listing = history.saveListing(LISTING);
    history.save([account('1', { inputs: [{ name: 'x', definition: digestOf('in'), listing }] })], LAST);
    const read = new StepHistory(root, ['/app']).listing(listing)!;
    expect(JSON.parse(JSON.stringify([...read]))).to.deep.equal([...LISTING]);
    for (let i = 2; i <= 7; i++) history.save([account(String(i))], LAST);
    expect(history.listing(listing)).to.equal(undefined);
    expect(readdirSync(history.directory)).to.deep.equal(['accounts']);
  });

  it('knows builds that were found as a whole, and which of them was the last', () => {
    const root = tmpDir();
    const step = {
      name: '[1/1] COPY a /',
      position: '0#1',
      definition: digestOf('1'),
      outcome: 'found',
    } as const;
    const history = new StepHistory(root, ['/app']);
    expect(history.hasBuild(digestOf('b'))).to.equal(false);
    history.save([account('1')], { atMs: Date.now(), steps: [step] }, digestOf('b'));
    history.save([account('2')], { atMs: Date.now(), steps: [] });
    expect(history.last?.steps).to.deep.equal([]);
    expect(history.hasBuild(digestOf('c'))).to.equal(false);
    new StepHistory(root, ['/other']).save([account('3')], LAST);
    setMtime(new StepHistory(root, ['/other']).directory, -30);
    const later = Date.now() + 1;
    while (Date.now() < later);
    expect(history.hasBuild(digestOf('b'))).to.equal(true);
    expect(StepHistory.newest(root)?.subject).to.deep.equal(['/app']);
    expect(StepHistory.newest(root)?.last?.steps).to.deep.equal([step]);
  });

  it('keeps the last sixteen builds that were found as a whole', () => {
    const history = new StepHistory(tmpDir(), ['/app']);
    for (let i = 1; i <= 20; i++) history.save([], { atMs: i, steps: [] }, digestOf(String(i)));
    const kept = (i: number) =>
      existsSync(join(history.directory, `found-${digestHex(digestOf(String(i)))}`));
    expect([3, 4, 5, 20].map(kept)).to.deep.equal([false, false, true, true]);
  });

  it('finds the histories of other builds, the last one first', () => {
    const root = tmpDir();
    for (const [i, place] of ['/a', '/b', '/c'].entries()) {
      const history = new StepHistory(root, [place], { image: place });
      history.save([account('1')], LAST);
      setMtime(history.directory, i);
    }
    const others = [...new StepHistory(root, ['/b']).others(5)];
    expect(others.map(({ subject }) => subject[0])).to.deep.equal(['/c', '/a']);
    expect(others.map(({ names }) => names)).to.deep.equal([{ image: '/c' }, { image: '/a' }]);
    expect([...new StepHistory(root, ['/d']).others(2)].map(({ subject }) => subject[0])).to.deep.equal([
      '/c',
      '/b',
    ]);
  });

  it('takes damaged accounts for none', () => {
    const history = new StepHistory(tmpDir(), ['/app']);
    history.save([account('1')], LAST);
    const accounts = join(history.directory, 'accounts');
    writeFileSync(accounts, readFileSync(accounts, 'utf8').replace('COPY', 'COPX'));
    expect(new StepHistory(join(history.directory, '..'), ['/app']).accounts()).to.deep.equal([]);
  });
});
