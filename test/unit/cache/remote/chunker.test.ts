import { expect } from 'chai';
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chunkFile } from '../../../../src/cache/remote/chunker.js';
import { tmpDir } from '../../../kit/tmp-dir.js';

/** The same bytes in every run. */
function noise(length: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

function chunksOf(data: Buffer): Buffer[] {
  const file = join(tmpDir(), 'file');
  writeFileSync(file, data);
  const fd = openSync(file, 'r');
  const chunks: Buffer[] = [];
  let at = 0;
  chunkFile(fd, (chunk, offset) => {
    expect(offset).to.equal(at);
    at += chunk.length;
    chunks.push(Buffer.from(chunk));
  });
  closeSync(fd);
  return chunks;
}

describe('chunks of a file', () => {
  it('are the file again, in order', () => {
    for (const length of [0, 1, 16 << 10, (4 << 20) - 1, (4 << 20) + 1, 9_000_001]) {
      const data = noise(length, 'order');
      expect(Buffer.concat(chunksOf(data)).equals(data), String(length)).to.equal(true);
    }
  });

  it('have 16 to 256 KiB, about 80 on average', () => {
    const sizes = chunksOf(noise(16 << 20, 'sizes')).map((chunk) => chunk.length);
    expect(Math.max(...sizes)).to.be.at.most(256 << 10);
    expect(Math.min(...sizes.slice(0, -1))).to.be.at.least(16 << 10);
    expect((16 << 20) / sizes.length / 1024).to.be.within(60, 100);
  });

  it('are the same on every machine', () => {
    const digest = createHash('sha256').update(
      chunksOf(noise(2 << 20, 'golden'))
        .map((chunk) => chunk.length)
        .join(),
    );
    expect(digest.digest('hex')).to.equal('d078c298013032282a4dc01622760eed6ed477949c2ad507dfe7205891785b8b');
  });

  it('stay but for one or two when a byte is put in', () => {
    const data = noise(8 << 20, 'insert');
    const before = new Set(chunksOf(data).map((chunk) => chunk.toString('latin1')));
    const after = chunksOf(
      Buffer.concat([data.subarray(0, 3_000_000), Buffer.from('!'), data.subarray(3_000_000)]),
    );
    expect(after.filter((chunk) => !before.has(chunk.toString('latin1')))).to.have.length.within(1, 2);
  });
});
