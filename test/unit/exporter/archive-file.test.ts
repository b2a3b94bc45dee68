import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { BuildError } from '../../../src/errors.js';
import { writeArchive } from '../../../src/exporter/archive-file.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const MIB = 1 << 20;
const context = (memory: string) => ({
  stdout: undefined,
  signal: new AbortController().signal,
  memory,
});

describe('an archive with large blobs', () => {
  it('holds their bytes, those that the kernel copied and those that it did not', async () => {
    const dir = tmpDir();
    // From 8 MiB the kernel copies.
    const sizes = [8 * MIB - 1, 8 * MIB, 17 * MIB + 5];
    const blobs = sizes.map((size, i) => {
      const data = randomFillSync(Buffer.alloc(size));
      const path = join(dir, `blob${i}`);
      writeFileSync(path, data);
      return { name: `blob${i}`, size, path, data };
    });
    const dest = join(dir, 'out.tar');
    await writeArchive(
      blobs.map(({ name, size, path }) => ({ name, size, path })),
      dest,
      context(tmpDir()),
    );
    for (const { name, data } of blobs) {
      const found = spawnSync('tar', ['xOf', dest, name], { maxBuffer: 32 * MIB }).stdout;
      expect(found.equals(data), name).to.equal(true);
    }
    expect(spawnSync('tar', ['tf', dest], { encoding: 'utf8' })).to.include({ status: 0, stderr: '' });
  });

  it('is not written where a blob is shorter than it should be', async () => {
    const dir = tmpDir();
    const path = join(dir, 'blob');
    writeFileSync(path, Buffer.alloc(9 * MIB));
    const error = await writeArchive(
      [{ name: 'blob', size: 10 * MIB, path }],
      join(dir, 'out.tar'),
      context(tmpDir()),
    ).catch((caught: unknown) => caught);
    expect((error as BuildError).code).to.equal('STORE_DAMAGED');
    expect(readdirSync(dir)).to.deep.equal(['blob']);
  });
});
