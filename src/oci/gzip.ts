import { availableParallelism } from 'node:os';
import { constants, crc32, deflateRaw } from 'node:zlib';

/** Blocks are compressed apart from each other: what they cannot refer back to costs less than one percent at this size. */
const BLOCK_BYTES = 1 << 20;
/** Data is looked at in pieces of this size, far below that of most files, to tell what cannot be compressed. */
const PIECE_BYTES = 1 << 16;
const SAMPLES = 4096;
const LEVEL = 6;
/** zlib asks a thread anew for each of these, and 16 KiB of its own choice would be many. */
const OUTPUT_BYTES = 1 << 18;
/** zlib's. */
const WINDOW_BYTES = 1 << 15;

/** RFC 1952: deflate, no flags, no time, no hint, Unix. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
/** An empty last block with fixed codes (RFC 1951, 3.2.6). */
const END = Buffer.from([3, 0]);

/**
 * One gzip member whose blocks are compressed beside each other on all cores. The bytes depend on the data alone: not on the
 * number of cores, nor on how `source` is cut into chunks. What looks random (archives, pictures) is stored. Chunks, given and
 * taken, are valid until the next one is asked for.
 */
export async function* compressGzip(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const width = availableParallelism() + 1;
  const running: Promise<Packed>[] = [];
  const free: Buffer[] = [];
  const first = async function* () {
    const { parts, buffer } = await running.shift()!;
    yield* parts;
    free.push(buffer);
  };
  let crc = 0;
  let size = 0;
  try {
    yield HEADER;
    for await (const block of blocksOf(source, () => free.pop() ?? Buffer.allocUnsafe(BLOCK_BYTES))) {
      const data = block.buffer.subarray(0, block.length);
      crc = crc32(data, crc);
      size += data.length;
      running.push(pack(block, data));
      if (running.length >= width) yield* first();
    }
    while (running.length > 0) yield* first();
  } finally {
    await Promise.allSettled(running);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield END;
  yield trailer;
}

/** A run of data of one kind, at the start of a buffer. */
interface Block {
  readonly buffer: Buffer;
  readonly isRandom: boolean;
  length: number;
}

interface Packed {
  readonly parts: readonly Uint8Array[];
  /** Free for other data once the parts are taken. */
  readonly buffer: Buffer;
}

async function pack({ buffer, isRandom }: Block, data: Buffer): Promise<Packed> {
  const isWhole = data.length % PIECE_BYTES === 0;
  return { buffer, parts: isRandom && isWhole ? stored(data) : [await deflateBlock(data, isRandom)] };
}

/** Whole bytes at the end, so that blocks can be joined. */
function deflateBlock(data: Buffer, isRandom: boolean): Promise<Buffer> {
  const finishFlush = constants.Z_SYNC_FLUSH;
  const options = isRandom
    ? { level: 0, finishFlush }
    : { level: LEVEL, finishFlush, chunkSize: OUTPUT_BYTES };
  return new Promise((resolve, reject) => {
    deflateRaw(data, options, (error, deflated) => (error ? reject(error) : resolve(deflated)));
  });
}

/** What zlib makes of whole pieces at level 0, without the copies that it makes on the way. */
function stored(data: Buffer): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < data.length;) {
    const part = data.subarray(at, at + storedLength(at, data.length));
    parts.push(storedHeader(part.length), part);
    at += part.length;
  }
  return [...parts, storedHeader(0)];
}

/** zlib's first block is as long as its buffer, the next ones end where its windows do. */
function storedLength(at: number, size: number): number {
  if (at === 0) return 65_531;
  return Math.min(size, Math.ceil(at / WINDOW_BYTES + 1) * WINDOW_BYTES) - at;
}

/** RFC 1951, 3.2.4. */
function storedHeader(length: number): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt16LE(length, 1);
  header.writeUInt16LE(length ^ 0xffff, 3);
  return header;
}

/** Runs of pieces that are alike, at most a block long. */
async function* blocksOf(source: AsyncIterable<Uint8Array>, newBuffer: () => Buffer): AsyncIterable<Block> {
  let block: Block | undefined;
  for await (const piece of piecesOf(source)) {
    const isRandom = looksRandom(piece);
    if (block && (isRandom !== block.isRandom || block.length === BLOCK_BYTES)) {
      yield block;
      block = undefined;
    }
    block ??= { buffer: newBuffer(), isRandom, length: 0 };
    block.buffer.set(piece, block.length);
    block.length += piece.length;
  }
  if (block) yield block;
}

/** The same bytes in pieces of one size, the last one shorter. */
async function* piecesOf(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  let filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + PIECE_BYTES - filled);
      at += part.length;
      if (part.length === PIECE_BYTES) {
        yield part;
        continue;
      }
      piece.set(part, filled);
      filled += part.length;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

const counts = new Uint16Array(256);

/**
 * Whether bytes are spread as evenly as chance would: the sum of the squared counts of `n` random bytes is near n + n²/256,
 * with a deviation of less than one percent for 4,096 samples; text and programs have several times that.
 */
function looksRandom(piece: Uint8Array): boolean {
  if (piece.length < SAMPLES) return false;
  counts.fill(0);
  const stride = Math.floor(piece.length / SAMPLES);
  for (let i = 0; i < SAMPLES; i++) {
    const byte = piece[i * stride]!;
    counts[byte] = counts[byte]! + 1;
  }
  let squares = 0;
  for (const count of counts) squares += count * count;
  return squares < 1.05 * (SAMPLES + SAMPLES ** 2 / 256);
}
