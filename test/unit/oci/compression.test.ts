import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, createGzip, gzipSync } from 'node:zlib';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { decompress, decompressAny } from '../../../src/oci/compression.js';
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

/** A source whose chunks are gone when the next one is asked for. */
async function* passing(data: Uint8Array, chunkBytes: number): AsyncIterable<Uint8Array> {
  const buffer = Buffer.alloc(chunkBytes);
  for (let at = 0; at < data.length; at += chunkBytes) {
    const part = data.subarray(at, at + chunkBytes);
    buffer.set(part);
    yield buffer.subarray(0, part.length);
    buffer.fill(0x55);
  }
}

describe('data that a thread of its own unpacks', () => {
  const data = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(5_000_000, 'text ')]);

  async function unpacked(packed: Uint8Array, compression: 'gzip' | 'zstd' | 'uncompressed', part: number) {
    const parts: Buffer[] = [];
    for await (const chunk of decompress(passing(packed, part), compression, 'own'))
      parts.push(Buffer.from(chunk));
    return Buffer.concat(parts);
  }

  for (const part of [1, 7, 777, 262_144, 100_000_000]) {
    const whole = part < 100 ? data.subarray(0, 50_000) : data;
    it(`comes out as it went in, from parts of ${part} bytes that do not last`, async () => {
      expect((await unpacked(gzipSync(whole), 'gzip', part)).equals(whole)).to.equal(true);
      expect((await unpacked(whole, 'uncompressed', part)).equals(whole)).to.equal(true);
      const members = Buffer.concat([gzipSync(whole), gzipSync(''), gzipSync(whole)]);
      expect((await unpacked(members, 'gzip', part)).equals(Buffer.concat([whole, whole]))).to.equal(true);
    });
  }

  it('of zstd comes out as it went in', async function () {
    if (!findProgram('zstd')) this.skip();
    const packed = execFileSync('zstd', ['-c'], { input: data, maxBuffer: 1 << 28 });
    expect((await unpacked(packed, 'zstd', 10_000)).equals(data)).to.equal(true);
  });

  for (const [name, packed] of [
    ['nothing', Buffer.alloc(0)],
    ['all but its last byte', gzipSync(data).subarray(0, -1)],
    ['its header', gzipSync(data).subarray(0, 5)],
    [
      'one whole member and half of another',
      Buffer.concat([gzipSync('a'), gzipSync(data).subarray(0, 1000)]),
    ],
    ['a wrong checksum', Buffer.concat([gzipSync(data).subarray(0, -8), Buffer.alloc(8, 1)])],
    ['noise', Buffer.concat([gzipSync(data).subarray(0, 1000), Buffer.alloc(1000, 0xff)])],
    ['no gzip', Buffer.from('no gzip at all')],
  ] as const) {
    it(`fails with ${name}, as with a stream`, async () => {
      for (const thread of ['own', 'shared'] as const) {
        const read = sizeOf(decompress(inChunks(packed, 300), 'gzip', thread));
        expect(await codeOf(read)).to.equal('COMPRESSION_INVALID', thread);
      }
    });
  }

  it('leaves what follows zeros behind its end, and refuses what is no gzip, as with a stream', async () => {
    for (const part of [26, 100, 100_000_000])
      for (const thread of ['own', 'shared'] as const) {
        const followed = (tail: Buffer) => {
          const packed = Buffer.concat([gzipSync('inside'), tail]);
          return sizeOf(decompress(inChunks(packed, part), 'gzip', thread));
        };
        expect(await followed(Buffer.alloc(2000))).to.equal(6, thread);
        expect(await followed(Buffer.concat([Buffer.alloc(50), gzipSync('more')]))).to.equal(6, thread);
        expect(await codeOf(followed(Buffer.alloc(2000, 'x')))).to.equal('COMPRESSION_INVALID', thread);
      }
  });

  it('needs no new memory for each piece', async () => {
    const packed = gzipSync(Buffer.alloc(200 << 20));
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for await (const _ of decompress(passing(packed, 1 << 16), 'gzip', 'own'))
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    expect(most).to.be.below(4 << 20);
  });

  it('lets its source go where nobody reads on', async () => {
    let isLeft = false;
    async function* source() {
      try {
        for (;;) yield gzipSync(data);
      } finally {
        isLeft = true;
      }
    }
    for await (const _ of decompress(source(), 'gzip', 'own')) break;
    expect(isLeft).to.equal(true);
  });
});

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
