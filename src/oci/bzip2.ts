import { dirname, join } from 'node:path';
import { ownRequire } from './own-require.js';

/** Bits of a queue of buffers, as unbzip2-stream reads them. */
interface BitReader {
  readonly bytesRead: number;
}

interface Bzip2Library {
  /** The size of a stream's blocks in units of 100,000. */
  header(bits: BitReader): number;
  /** One block; null at the end of a stream. */
  decompress(
    bits: BitReader,
    write: (byte: number) => void,
    buffer: Int32Array,
    bufferSize: number,
    crc: number | null,
  ): number | null;
}

/** What is needed at hand before a block can be read, as a block may be that long. */
const needed = (blockSize: number) => (blockSize === 0 ? 4 : 25_000 + 100_000 * blockSize);

/**
 * Decompresses bzip2 block by block. The package's own stream decodes all that it has been given before it hands anything out:
 * 1 MB could become 20 GB in memory.
 */
export async function* decompressBzip2(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const place = join(dirname(ownRequire().resolve('unbzip2-stream')), 'lib');
  const library = ownRequire()(join(place, 'bzip2.js')) as Bzip2Library;
  const iterate = ownRequire()(join(place, 'bit_iterator.js')) as (next: () => Uint8Array) => BitReader;
  const queue: Uint8Array[] = [];
  let bits: BitReader | undefined;
  const nextChunk = () => {
    const next = queue.shift();
    if (!next) throw new Error('it ends in the middle of a block');
    return next;
  };
  let given = 0;
  let blockSize = 0;
  let crc: number | null = null;
  const step = (bits: BitReader): Uint8Array | undefined => {
    if (blockSize === 0) {
      blockSize = library.header(bits);
      crc = 0;
      return undefined;
    }
    const output = new ByteSink();
    const size = 100_000 * blockSize;
    crc = library.decompress(bits, output.add, new Int32Array(size), size, crc);
    if (crc === null) blockSize = 0;
    return output.bytes();
  };
  for await (const chunk of source) {
    if (chunk.length === 0) continue;
    queue.push(chunk);
    given += chunk.length;
    bits ??= iterate(nextChunk);
    while (given - bits.bytesRead + 1 >= needed(blockSize)) {
      const bytes = step(bits);
      if (bytes?.length) yield bytes;
    }
  }
  while (bits && given > bits.bytesRead) {
    const bytes = step(bits);
    if (bytes?.length) yield bytes;
  }
  if (crc !== null) throw new Error('it ends before its last block');
}

/** A buffer that grows: a block of 900 kB may stand for 46 MB. */
class ByteSink {
  #buffer = Buffer.allocUnsafe(1 << 20);
  #length = 0;

  readonly add = (byte: number): void => {
    if (this.#length === this.#buffer.length) {
      const larger = Buffer.allocUnsafe(this.#buffer.length * 2);
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    this.#buffer[this.#length++] = byte;
  };

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}
