import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, createGzip, gzipSync } from 'node:zlib';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { decompressAny } from '../../../src/oci/compression.js';
import { LIMITS, parseLimits } from '../../../src/oci/limits.js';
import { codeOf } from '../../kit/code-of.js';
import { findProgram } from '../../kit/needs.js';
import { inChunks } from '../../kit/tar.js';
import { tmpDir } from '../../kit/tmp-dir.js';

async function sizeOf(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const chunk of chunks) size += chunk.length;
  return size;
}

/** Runs with other limits, which are data. */
async function withLimits<T>(
  limits: Partial<Record<keyof typeof LIMITS, number>>,
  run: () => Promise<T>,
): Promise<T> {
  const before = { ...LIMITS };
  Object.assign(LIMITS, limits);
  try {
    return await run();
  } finally {
    Object.assign(LIMITS, before);
  }
}

describe('compressed data', () => {
  const text = Buffer.from('some text that is not long\n'.repeat(100_000));
  const packers: [name: string, pack: (data: Buffer) => Buffer][] = [
    ['gzip', (data) => gzipSync(data)],
    ['bzip2', (data) => execFileSync('bzip2', ['-c'], { input: data, maxBuffer: 1 << 28 })],
    ['xz', (data) => execFileSync('xz', ['-c'], { input: data, maxBuffer: 1 << 28 })],
    [
      'zstd',
      (data) =>
        execFileSync('zstd', ['-c'], { input: data, maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'ignore'] }),
    ],
  ];
  for (const [name, pack] of packers) {
    const isHere = name === 'gzip' || findProgram(name) !== undefined;
    (isHere ? describe : describe.skip)(name, () => {
      it('comes out as it went in, from parts of any size', async () => {
        const packed = pack(text);
        for (const part of [1_000_000, 777]) {
          const parts: Uint8Array[] = [];
          for await (const chunk of decompressAny(inChunks(packed, part))) parts.push(chunk);
          expect(Buffer.concat(parts).equals(text)).to.equal(true);
        }
      });

      it('of a bomb ends with the limit, long before it is unpacked', async () => {
        const packed = pack(Buffer.alloc(64 << 20));
        const limits = { inflatedBytes: 4 << 20, inflationRatio: 20 };
        const unpacked = withLimits(limits, () => sizeOf(decompressAny(inChunks(packed))));
        expect(await codeOf(unpacked)).to.equal('COMPRESSION_INVALID');
      });

      it('may be left after the first part, and closes its source', async () => {
        const file = join(tmpDir(), 'packed');
        writeFileSync(file, pack(randomBytes(6 << 20)));
        for (let i = 0; i < 10; i++) {
          const source = createReadStream(file, { highWaterMark: 1 << 20 });
          for await (const part of decompressAny(source as AsyncIterable<Uint8Array>)) {
            expect(part.length).to.be.above(0);
            break;
          }
          for (let waited = 0; !source.closed && waited < 200; waited++) await sleep(5);
          expect(source.closed).to.equal(true);
        }
      });

      it('cut short is damaged', async () => {
        const packed = pack(text);
        expect(await codeOf(sizeOf(decompressAny(inChunks(packed.subarray(0, packed.length - 5)))))).to.equal(
          'COMPRESSION_INVALID',
        );
      });
    });
  }

  it('of a bomb stays small in memory', async function () {
    if (findProgram('bzip2') === undefined) this.skip();
    const packed = execFileSync('bzip2', ['-c'], { input: Buffer.alloc(512 << 20), maxBuffer: 1 << 28 });
    const before = process.memoryUsage().rss;
    expect(await sizeOf(decompressAny(inChunks(packed)))).to.equal(512 << 20);
    expect(process.memoryUsage().rss - before).to.be.lessThan(400 << 20);
  });

  it('with much air in it is no bomb below the size that is always allowed', async () => {
    const zeros = Readable.from(inChunks(Buffer.alloc(32 << 20)), { objectMode: false }).compose(
      createGzip({ level: constants.Z_BEST_SPEED }),
    );
    expect(await sizeOf(decompressAny(zeros))).to.equal(32 << 20);
  });

  it('with a damaged checksum is refused', async () => {
    const packed = gzipSync(text);
    packed.writeUInt32LE(0, packed.length - 8);
    expect(await codeOf(sizeOf(decompressAny(inChunks(packed))))).to.equal('COMPRESSION_INVALID');
  });
});

describe('limits from the environment', () => {
  it('are names with numbers', () => {
    expect(parseLimits('inflationRatio=5, stages=7')).to.deep.equal({ inflationRatio: 5, stages: 7 });
    expect(parseLimits('')).to.deep.equal({});
  });
  for (const text of ['inflation=5', 'stages=-1', 'stages', '__proto__=1', 'toString=1', 'stages=1e9']) {
    it(`refuse ${text}`, () => {
      expect(() => parseLimits(text)).to.throw('which sets no limit');
    });
  }
});
