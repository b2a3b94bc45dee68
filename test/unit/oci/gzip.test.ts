import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { compressGzip } from '../../../src/oci/gzip.js';

const text = Buffer.from('a line of text that repeats itself, but for a number\n'.repeat(60_000));
const mixed = Buffer.concat([text, randomBytes(700_000), text.subarray(0, 12_345), randomBytes(3_000)]);

async function* inChunks(data: Buffer, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function gzip(data: Buffer, chunkSize = 1 << 20): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of compressGzip(inChunks(data, chunkSize))) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

describe('compressGzip', () => {
  for (const [name, data] of [
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from('x')],
    ['text', text],
    ['random bytes', randomBytes(1_500_000)],
    ['text and random bytes', mixed],
  ] as const) {
    it(`gives ${name} back`, async () => {
      const packed = await gzip(data);
      expect(gunzipSync(packed).equals(data)).to.equal(true);
    });
  }

  it('writes one member that gzip itself accepts', async () => {
    const packed = await gzip(mixed);
    const unpacked = execFileSync('gzip', ['-dc'], { input: packed, maxBuffer: 1 << 26 });
    expect(unpacked.equals(mixed)).to.equal(true);
    expect(packed.readUInt32LE(packed.length - 4)).to.equal(mixed.length);
  });

  it('gives the same bytes however its input is cut', async () => {
    const whole = await gzip(mixed, mixed.length);
    for (const size of [1000, 65_536, 1_000_003]) {
      const packed = await gzip(mixed, size);
      expect(packed.equals(whole), `chunks of ${size}`).to.equal(true);
    }
  });

  it('gives the bytes that it gave in earlier versions for what is stored', async () => {
    const random = createHash('shake256', { outputLength: 5 << 16 })
      .update('seed')
      .digest();
    const packed = await gzip(random);
    expect(createHash('sha256').update(packed).digest('hex')).to.equal(
      '8a28eccc806e7e278cc50bef5d860e38433fa18db57c199bfb46c9182c8f33a0',
    );
  });

  it('is done with a chunk of its input when it asks for the next one', async () => {
    const reused = Buffer.alloc(100_000);
    const source = async function* (): AsyncIterable<Uint8Array> {
      for (let at = 0; at < mixed.length; at += reused.length) {
        const part = mixed.subarray(at, at + reused.length);
        reused.set(part);
        yield reused.subarray(0, part.length);
        reused.fill(0);
      }
    };
    const parts: Buffer[] = [];
    for await (const part of compressGzip(source())) parts.push(Buffer.from(part));
    expect(gunzipSync(Buffer.concat(parts)).equals(mixed)).to.equal(true);
  });

  it('stores what cannot be compressed and stays near gzip elsewhere', async () => {
    const random = randomBytes(1 << 21);
    expect((await gzip(random)).length).to.be.lessThan(random.length * 1.001);
    expect((await gzip(text)).length).to.be.lessThan(gzipSync(text).length * 1.2);
  });

  it('ends with the error of its source', async () => {
    const failing = async function* (): AsyncIterable<Uint8Array> {
      yield text;
      throw new Error('source');
    };
    const run = async () => {
      for await (const part of compressGzip(failing())) void part;
    };
    const error = await run().catch((thrown: unknown) => thrown);
    expect((error as Error).message).to.equal('source');
  });
});
