import { expect } from 'chai';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CacheRecords } from '../../../src/cache/cache-records.js';
import { createSnapshotResult } from '../../../src/graph/snapshot.js';
import { digestOf } from '../../../src/oci/digest.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const key = digestOf('key');
const result = createSnapshotResult([
  { diffId: digestOf('a'), contentDigest: digestOf('b'), createdAt: '2026-01-01T00:00:00Z' },
]);
const record = { result, name: '[1/2] RUN true', createdAt: '2026-01-01T00:00:00Z' };

function onlyFile(root: string): string {
  const [dir] = readdirSync(root);
  const [file] = readdirSync(join(root, dir!));
  return join(root, dir!, file!);
}

describe('cache records', () => {
  it('gives back what was saved, content identity included', () => {
    const records = new CacheRecords(tmpDir());
    records.save(key, record);
    expect(records.load(key)).to.deep.equal(record);
  });

  it('knows nothing of a key that was never saved', () => {
    expect(new CacheRecords(tmpDir()).load(key)).to.equal(undefined);
  });

  it('treats a record with a flipped byte as a miss, and removes it', () => {
    const root = tmpDir();
    const records = new CacheRecords(root);
    records.save(key, record);
    const file = onlyFile(root);
    writeFileSync(file, readFileSync(file, 'utf8').replace('RUN true', 'RUN trux'));
    expect(records.load(key)).to.equal(undefined);
    expect(readdirSync(join(file, '..'))).to.deep.equal([]);
  });

  it('treats a record that was cut short as a miss', () => {
    const root = tmpDir();
    const records = new CacheRecords(root);
    records.save(key, record);
    const file = onlyFile(root);
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, 80));
    expect(records.load(key)).to.equal(undefined);
  });
});
