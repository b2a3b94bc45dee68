import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ContentStore } from '../../../src/cache/content-store.js';
import { decompressAny } from '../../../src/oci/compression.js';
import { digestOf } from '../../../src/oci/digest.js';
import { compressLayer, readParts } from '../../../src/worker/snapshot/compress-layer.js';
import { findProgram } from '../../kit/needs.js';
import { inChunks } from '../../kit/tar.js';
import { tmpDir } from '../../kit/tmp-dir.js';

const never = new AbortController().signal;

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

describe('a layer', () => {
  const random = createHash('shake256', { outputLength: 11 << 20 })
    .update('seed')
    .digest();
  const tar = Buffer.concat([Buffer.alloc(9 << 20, 'text '), random]);
  const path = join(tmpDir(), 'tar');
  before(() => writeFileSync(path, tar));

  for (const compression of ['gzip', 'zstd'] as const) {
    const isHere = compression === 'gzip' || findProgram('zstd') !== undefined;
    (isHere ? describe : describe.skip)(`with ${compression}`, () => {
      it('is in the store under its digest, and unpacks to what it was', async () => {
        const content = new ContentStore(tmpDir());
        const { digest, size } = await compressLayer(readParts(path), compression, content, never);
        const packed = readFileSync(content.path(digest));
        expect([digestOf(packed), packed.length]).to.deep.equal([digest, size]);
        expect((await bytesOf(decompressAny(inChunks(packed)))).equals(tar)).to.equal(true);
      });

      it('is the same however it is read', async () => {
        const content = new ContentStore(tmpDir());
        const sources = [readParts(path), inChunks(tar, 10_007), inChunks(tar, tar.length)];
        const digests = new Set<string>();
        for (const source of sources)
          digests.add((await compressLayer(source, compression, content, never)).digest);
        expect(digests.size).to.equal(1);
      });

      it('leaves nothing when it is given up', async () => {
        const root = tmpDir();
        const stop = new AbortController();
        const source = async function* () {
          yield tar;
          stop.abort(new Error('enough'));
          yield tar;
        };
        const error = await compressLayer(source(), compression, new ContentStore(root), stop.signal).catch(
          (thrown: unknown) => thrown,
        );
        expect((error as Error).message).to.equal('enough');
        const files = readdirSync(root, { recursive: true, withFileTypes: true });
        expect(files.filter((entry) => entry.isFile())).to.deep.equal([]);
      });
    });
  }
});
